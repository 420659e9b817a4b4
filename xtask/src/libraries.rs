//! `cargo xtask libraries`: the save libraries that games use, as their authors published them, for the tests that run them.
//!
//! Owns: which packages in which versions, fetching, verifying and unpacking them below the target directory. Does not own: the
//! tests (`crates/cli/tests/libraries`). Nothing that is fetched is part of this repository.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::shell::{output, run as run_command, target_dir};

const REGISTRY: &str = "https://registry.npmjs.org";

/// The part of a package that is kept is below one directory.
#[derive(Debug)]
struct Package {
    /// The directory that it gets below `libraries`.
    directory: &'static str,
    /// As the registry knows it.
    name: &'static str,
    version: &'static str,
    /// SHA-512 of the archive in base64, as in `npm view NAME@VERSION dist.integrity`.
    integrity: &'static str,
    /// What is unpacked.
    part: &'static str,
}

const PACKAGES: &[Package] = &[
    Package {
        directory: "profile-store",
        name: "@rbxts/profile-store",
        version: "1.0.3",
        integrity: "hhaBnE7iabydxMMlun9ezD1oFCfETFXp95r2hjmQUip5GrGLGugAbrzdUhEaqRpdDaM+c4qsj2JfskdAUfz/mw==",
        part: "package",
    },
    Package {
        directory: "profileservice",
        name: "@rbxts/profileservice",
        version: "1.4.2",
        integrity: "xpq0bTfU7ol+7bUF9S0HZnh4xyGBZRsvVIlmAkEWt81Fv0Dep4b2NXbtV0XrT05+vZBjMTGxKJk+jGx5reQmtQ==",
        part: "package",
    },
    Package {
        directory: "lapis",
        name: "@rbxts/lapis",
        version: "0.3.8",
        integrity: "SQTVdSp47Rh7nzuI/ArUsGssz2+KmciPlue4Qlj3i9iO2p3Xgf1ZsgfhvMemPih/kFdjSH47E8wHGA4dY/Y+AA==",
        part: "package",
    },
    Package {
        directory: "datastore2",
        name: "@rbxts/datastore2",
        version: "1.4.0-ts.0",
        integrity: "jfp0QEF6Wx1YvIXabvaB8mS57gHL4bz50z09/mxZ14N97hXmDtE1fZZduZgmcOtsm4IxCIWjYN85m0VRXBsEFg==",
        part: "package",
    },
    // The run-time part of roblox-ts, through which Lapis is loaded. The compiler is left out.
    Package {
        directory: "roblox-ts",
        name: "roblox-ts",
        version: "3.0.0",
        integrity: "hwAC2frIFlLJOtHd6F+5opMEhBgfAMK9z5l1mP+bykLBbMO5cn1q5lIwhhXbeh9Pq07rlhF8uGHlmeRLPd/3AA==",
        part: "package/include",
    },
];

/// Beside a package, and written last: which archive it came from.
const MARK: &str = "integrity";

pub(crate) fn run() -> Result<()> {
    let place = target_dir()?.join("libraries");
    fs::create_dir_all(&place)?;
    for package in PACKAGES {
        let what = format!("{} {}", package.name, package.version);
        if package.is_in(&place) {
            println!("    {what} is there");
            continue;
        }
        package.get(&place).with_context(|| format!("{what} is needed for the tests and cannot be fetched"))?;
        println!("    {what} fetched");
    }
    Ok(())
}

impl Package {
    fn is_in(&self, place: &Path) -> bool {
        fs::read_to_string(self.mark(place)).is_ok_and(|found| found == self.integrity)
    }

    fn mark(&self, place: &Path) -> PathBuf {
        place.join(format!("{}.{MARK}", self.directory))
    }

    fn get(&self, place: &Path) -> Result<()> {
        let archive = place.join(format!("{}.tgz", self.directory));
        self.fetch(&archive)?;
        self.verify(&archive)?;
        self.unpack(&archive, &place.join(self.directory))?;
        fs::remove_file(&archive)?;
        Ok(fs::write(self.mark(place), self.integrity)?)
    }

    /// From the registry; where that cannot be reached, from wherever `npm` is set up to look.
    fn fetch(&self, archive: &Path) -> Result<()> {
        let mut curl = Command::new("curl");
        curl.args(["--fail", "--silent", "--show-error", "--location", "--connect-timeout", "20", "--max-time", "120"]);
        curl.args(["--retry", "4", "--retry-all-errors", "--output"]).arg(archive).arg(self.url());
        run_command(&mut curl).or_else(|from_curl| self.fetch_with_npm(archive).context(from_curl))
    }

    fn fetch_with_npm(&self, archive: &Path) -> Result<()> {
        let place = archive.parent().context("an archive has a directory")?;
        let mut npm = Command::new("npm");
        npm.args(["pack", "--silent", &format!("{}@{}", self.name, self.version)]).current_dir(place);
        let name = String::from_utf8(output(&mut npm)?)?;
        Ok(fs::rename(place.join(name.trim()), archive)?)
    }

    fn url(&self) -> String {
        let short = self.name.rsplit('/').next().unwrap_or(self.name);
        format!("{REGISTRY}/{}/-/{short}-{}.tgz", self.name, self.version)
    }

    fn verify(&self, archive: &Path) -> Result<()> {
        let expected = hex(&STANDARD.decode(self.integrity)?);
        let found = output(Command::new("sha512sum").arg(archive))?;
        // `\` comes first where the name of the file is odd.
        let found = String::from_utf8_lossy(&found).trim_start_matches('\\').to_owned();
        ensure!(found.starts_with(&expected), "the archive is not the one that was published: {found}");
        Ok(())
    }

    fn unpack(&self, archive: &Path, target: &Path) -> Result<()> {
        if target.exists() {
            fs::remove_dir_all(target)?;
        }
        fs::create_dir(target)?;
        let depth = self.part.split('/').count().to_string();
        let mut tar = Command::new("tar");
        tar.args(["--extract", "--gzip", "--no-same-owner", "--strip-components", &depth]);
        run_command(tar.arg("--file").arg(archive).arg("--directory").arg(target).arg(self.part))?;
        if fs::read_dir(target)?.next().is_none() {
            bail!("the archive has nothing in {}", self.part);
        }
        Ok(())
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_complete() {
        for package in PACKAGES {
            let digest = STANDARD.decode(package.integrity).expect("it is base64");
            assert_eq!(digest.len(), 64, "{}: SHA-512 has 64 bytes", package.name);
        }
        let url = "https://registry.npmjs.org/@rbxts/profile-store/-/profile-store-1.0.3.tgz";
        assert_eq!(PACKAGES[0].url(), url);
    }

    #[test]
    fn another_archive_is_refused() {
        let archive = std::env::temp_dir().join(format!("clawstore-library-{}.tgz", std::process::id()));
        fs::write(&archive, "not what was published").expect("it is written");
        let verified = PACKAGES[0].verify(&archive);
        fs::remove_file(&archive).expect("it is there");
        assert!(verified.expect_err("it is another one").to_string().contains("not the one that was published"));
    }
}
