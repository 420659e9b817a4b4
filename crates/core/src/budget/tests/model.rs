//! Budgets and queues against a plain model: random calls, rates, players and times.

use proptest::prelude::*;

use super::*;

/// One thing that happens to a server.
#[derive(Debug, Clone)]
enum Event {
    Pass(u64),
    Players(u32),
    Call(usize, usize, bool),
    /// A key is throttled, or no more.
    Throttle(usize, bool),
    Rate(usize, u32, u32),
    Close,
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        3 => (0_u64..40).prop_map(Event::Pass),
        1 => (0_u32..4).prop_map(Event::Players),
        20 => (0_usize..6, 0_usize..4, any::<bool>()).prop_map(|(call, key, ordered)| Event::Call(call, key, ordered)),
        1 => (0_usize..8, any::<bool>()).prop_map(|(key, is_throttled)| Event::Throttle(key, is_throttled)),
        1 => (0_usize..8, 0_u32..20, 0_u32..4).prop_map(|(of, base, per_player)| Event::Rate(of, base, per_player)),
        1 => Just(Event::Close),
    ]
}

/// The same by hand: budgets in sixtieths of a request, whole seconds, and every call compared with all before it.
struct Model {
    seconds: u64,
    players: u64,
    rates: [(u64, u64); 8],
    sixtieths: [u64; 8],
    waiting: Vec<Parked>,
    throttled: Vec<EntryKey>,
}

#[derive(Debug, Clone, PartialEq)]
enum Why {
    /// What it lacks, or has lacked.
    Budget(Vec<RequestType>),
    Turn,
    Key,
}

#[derive(Clone)]
struct Parked {
    number: u32,
    asked: Asked,
    since: u64,
    why: Why,
}

impl Parked {
    fn needs(&self, request: RequestType) -> bool {
        matches!(&self.why, Why::Budget(types) if types.contains(&request))
    }
}

impl Model {
    fn new() -> Self {
        let rates = [(60, 40), (60, 40), (5, 2), (60, 40), (60, 40), (30, 5), (5, 2), (30, 5)];
        let sixtieths = [100, 100, 10, 100, 100, 50, 10, 50].map(|burst| burst * 60);
        Self { seconds: 0, players: 0, rates, sixtieths, waiting: Vec::new(), throttled: Vec::new() }
    }

    fn per_minute(&self, of: usize) -> u64 {
        self.rates[of].0 + self.rates[of].1 * self.players
    }

    fn fill(&mut self, seconds: u64) {
        self.seconds += seconds;
        for of in 0..8 {
            let per_minute = self.per_minute(of);
            self.sixtieths[of] = (self.sixtieths[of] + seconds * per_minute).min(180 * per_minute);
        }
    }

    /// May it start behind those?
    fn start(&mut self, asked: &Asked, before: &[Parked]) -> Result<(), Why> {
        if before.iter().any(|parked| asked.key.is_some() && parked.asked.key == asked.key) {
            return Err(Why::Turn);
        }
        let types = asked.charge.requests;
        let taken = types.iter().filter(|of| before.iter().any(|parked| parked.needs(**of)));
        let lacking = types.iter().filter(|of| self.sixtieths[**of as usize] < 60);
        let why: [Vec<_>; 2] = [taken.copied().collect(), lacking.copied().collect()];
        if let Some(types) = why.into_iter().find(|types| !types.is_empty()) {
            return Err(Why::Budget(types));
        }
        if asked.key.as_ref().is_some_and(|key| self.throttled.contains(key)) {
            return Err(Why::Key);
        }
        types.iter().for_each(|of| self.sixtieths[*of as usize] -= 60);
        Ok(())
    }

    fn call(&mut self, number: u32, asked: Asked) -> &'static str {
        let before = self.waiting.clone();
        match self.start(&asked, &before) {
            Ok(()) => "starts",
            Err(why) => {
                let sort =
                    |asked: &Asked| (asked.charge.is_write(), asked.charge.requests.iter().any(|of| of.is_ordered()));
                if before.iter().filter(|parked| sort(&parked.asked) == sort(&asked)).count() >= 30 {
                    return "dropped";
                }
                self.waiting.push(Parked { number, asked, since: self.seconds, why });
                "waits"
            }
        }
    }

    /// Those that wait no longer, and whether they start.
    fn drain(&mut self) -> Vec<(u32, bool)> {
        let (mut ended, mut kept) = (Vec::new(), Vec::new());
        for mut parked in std::mem::take(&mut self.waiting) {
            match self.start(&parked.asked, &kept) {
                Ok(()) => ended.push((parked.number, true)),
                Err(Why::Key) if self.seconds >= parked.since + 30 => ended.push((parked.number, false)),
                Err(why) => {
                    match (&mut parked.why, why) {
                        (Why::Key, _) => {}
                        (Why::Budget(types), Why::Budget(more)) => types.extend(more),
                        (before, now) => *before = now,
                    }
                    kept.push(parked);
                }
            }
        }
        self.waiting = kept;
        ended
    }
}

fn call(which: usize, key: &EntryKey) -> Asked {
    match which {
        0 => asked(&Request::Get, key),
        1 => asked(&Request::Set(Set { value: Value::integer(1), attributes: Default::default() }), key),
        2 => asked(&Request::Update(Update::NOT_RUN), key),
        3 => asked(&Request::Remove, key),
        4 => Asked { key: Some(key.clone()), charge: Charge::VERSION, throttle: Throttle::GetVersion },
        _ => Asked {
            key: None,
            charge: if key.store.kind == StoreKind::Ordered { Charge::SORTED } else { Charge::LIST },
            throttle: Throttle::GetSorted,
        },
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// Same starts, waits and drops, same order, same numbers as the model; and it says no later than it must when to look.
    #[test]
    fn budgets_and_queues_are_those_of_a_plain_model(events in prop::collection::vec(event(), 1..400)) {
        let (mut queues, mut model, mut seconds, mut players) = (queues(), Model::new(), 0, 0);
        let keys: Vec<EntryKey> = (0..8).map(|number: usize| {
            key(if number < 4 { StoreKind::Standard } else { StoreKind::Ordered }, &number.to_string())
        }).collect();
        for (number, event) in (0..).zip(events) {
            let throttled = model.throttled.clone();
            let room = |asked: &Asked| match asked.key.as_ref().is_some_and(|key| throttled.contains(key)) {
                true => Room::In(Duration::ZERO),
                false => Room::Now,
            };
            match event {
                Event::Pass(by) => {
                    for _ in 0..by {
                        seconds += 1;
                        model.fill(1);
                        let wake = queues.wake();
                        let mut started = Vec::new();
                        while let Some((call, error)) = queues.next(at(seconds), players, room) {
                            started.push((call, error.is_none()));
                        }
                        let expected = model.drain();
                        prop_assert!(expected.is_empty() || wake.is_some_and(|wake| wake <= at(seconds)));
                        prop_assert_eq!(started, expected);
                    }
                }
                Event::Players(count) => {
                    (players, model.players) = (count, u64::from(count));
                    model.fill(0);
                }
                Event::Call(which, of_key, ordered) => {
                    let key = &keys[of_key + if ordered { 4 } else { 0 }];
                    let expected = model.call(number, call(which, key));
                    let entered = match queues.enter(at(seconds), players, call(which, key), room, number) {
                        Entered::Starts(_) => "starts",
                        Entered::Waits => "waits",
                        Entered::Refused(..) => "dropped",
                    };
                    prop_assert_eq!(entered, expected);
                }
                Event::Throttle(of_key, true) => model.throttled.push(keys[of_key].clone()),
                Event::Throttle(of_key, false) => model.throttled.retain(|key| *key != keys[of_key]),
                Event::Rate(of, base, per_player) => {
                    let budget = BudgetType::Modern(RequestType::ALL[of]);
                    queues.set_rate(at(seconds), players, budget, (base.into(), per_player.into())).unwrap();
                    model.rates[of] = (base.into(), per_player.into());
                    model.fill(0);
                }
                Event::Close => {
                    queues.top_up(at(seconds), players);
                    let defaults = Model::new().rates;
                    for (of, default) in defaults.into_iter().enumerate() {
                        model.rates[of].0 = model.rates[of].0.max(default.0);
                        model.sixtieths[of] = model.sixtieths[of].max(150 * model.rates[of].0);
                    }
                }
            }
            for (request, sixtieths) in RequestType::ALL.into_iter().zip(model.sixtieths) {
                let shown = queues.budget(at(seconds), players, BudgetType::Modern(request));
                prop_assert_eq!(shown as u64, sixtieths / 60, "{}", request.name());
            }
        }
    }
}
