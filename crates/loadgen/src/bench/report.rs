//! How figures are shown.
//!
//! Owns: a figure with its goal, its line in the table, its form in the file. Does not own: measuring.

use std::fmt;

use serde::Serialize;

/// What a figure should reach: its ratio, or its value where it has no baseline.
#[derive(Debug, Clone, Copy)]
pub(super) enum Goal {
    AtLeast(f64),
    AtMost(f64),
}

/// One figure.
#[derive(Debug, Serialize)]
pub(super) struct Figure {
    name: String,
    value: f64,
    unit: &'static str,
    baseline: Option<f64>,
    /// Value divided by baseline.
    ratio: Option<f64>,
    #[serde(skip)]
    goal: Option<Goal>,
}

impl Figure {
    /// A figure beside its baseline.
    pub(super) fn beside(name: &str, (value, baseline): (f64, f64), unit: &'static str, goal: Option<Goal>) -> Self {
        Self { name: name.to_owned(), value, unit, baseline: Some(baseline), ratio: Some(value / baseline), goal }
    }

    /// A figure that is its own measure.
    pub(super) fn alone(name: &str, value: f64, unit: &'static str, goal: Option<Goal>) -> Self {
        Self { name: name.to_owned(), value, unit, baseline: None, ratio: None, goal }
    }
}

pub(super) fn header() -> String {
    format!("{:<28} {:>12} {:>12} {:<6} {:>7}  goal", "figure", "value", "baseline", "unit", "ratio")
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = |number: f64| if number < 100.0 { format!("{number:.2}") } else { format!("{number:.0}") };
        let or_dash = |value: Option<f64>, form: fn(f64) -> String| value.map_or_else(|| "-".to_owned(), form);
        let ratio = or_dash(self.ratio, |ratio| format!("{ratio:.2}"));
        let baseline =
            or_dash(
                self.baseline,
                |number| if number < 100.0 { format!("{number:.2}") } else { format!("{number:.0}") },
            );
        write!(f, "{:<28} {:>12} {baseline:>12} {:<6} {ratio:>7}", self.name, number(self.value), self.unit)?;
        let reached = self.ratio.unwrap_or(self.value);
        match self.goal {
            None => Ok(()),
            Some(Goal::AtLeast(goal)) => write!(f, "  >= {goal} {}", said(reached >= goal)),
            Some(Goal::AtMost(goal)) => write!(f, "  <= {goal} {}", said(reached <= goal)),
        }
    }
}

fn said(reached: bool) -> &'static str {
    if reached { "ok" } else { "SHORT" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_has_the_five_fields() {
        let figures = [Figure::beside("a", (6.0, 2.0), "1/s", None), Figure::alone("b", 1.0, "B", None)];
        let json = serde_json::to_string(&figures).unwrap();
        let expected = concat!(
            r#"[{"name":"a","value":6.0,"unit":"1/s","baseline":2.0,"ratio":3.0},"#,
            r#"{"name":"b","value":1.0,"unit":"B","baseline":null,"ratio":null}]"#
        );
        assert_eq!(json, expected);
    }

    #[test]
    fn a_goal_is_on_the_ratio_or_else_on_the_value() {
        let line = |goal| Figure::beside("a", (6.0, 2.0), "1/s", Some(goal)).to_string();
        assert!(line(Goal::AtLeast(3.0)).ends_with("ok") && line(Goal::AtLeast(3.1)).ends_with("SHORT"));
        assert!(line(Goal::AtMost(3.0)).ends_with("ok") && line(Goal::AtMost(2.9)).ends_with("SHORT"));
        assert!(Figure::alone("a", 6.0, "B", Some(Goal::AtMost(5.0))).to_string().ends_with("SHORT"));
    }
}
