//! The scripts, one for each operation; Redis runs each of them whole or not at all.

/// Which script.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Script {
    Append,
    Read,
    Clear,
    Join,
    Renew,
    Leave,
    Snapshot,
    Stats,
    Due,
    Reap,
}

macro_rules! script {
    ($($name:literal),+) => { concat!($(include_str!(concat!("scripts/", $name, ".lua"))),+) };
}

impl Script {
    pub(super) const ALL: [Self; 10] = [
        Self::Append,
        Self::Read,
        Self::Clear,
        Self::Join,
        Self::Renew,
        Self::Leave,
        Self::Snapshot,
        Self::Stats,
        Self::Due,
        Self::Reap,
    ];

    pub(super) const fn source(self) -> &'static str {
        match self {
            Self::Append => script!("head", "generation", "owners", "producers", "append"),
            Self::Read => script!("head", "generation", "owners", "read"),
            Self::Clear => script!("head", "clear"),
            Self::Join => script!("head", "generation", "entries", "join"),
            Self::Renew => script!("head", "entries", "renew"),
            Self::Leave => script!("head", "entries", "leave"),
            Self::Snapshot => script!("head", "entries", "snapshot"),
            Self::Stats => script!("head", "entries", "stats"),
            Self::Due => script!("head", "due"),
            Self::Reap => script!("head", "entries", "reap"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_scripts_are_in_the_order_of_their_numbers() {
        for (at, script) in Script::ALL.into_iter().enumerate() {
            assert_eq!(script as usize, at);
        }
    }

    #[test]
    fn no_script_jumps_or_looks_for_keys() {
        for script in Script::ALL {
            let source = script.source();
            let code: String = source.lines().map(|line| line.split("--").next().unwrap_or("")).collect();
            for banned in ["goto", "'KEYS'", "'SCAN'", "while ", "repeat"] {
                assert!(!code.contains(banned), "{script:?}: {banned}");
            }
        }
    }
}
