//! Which parts of the work a node takes.

use std::str::FromStr;

use switchboard_core::{Code, Error};

/// The parts that a node runs: written as a list of `gateway`, `status` and `api`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Roles {
    /// Holds sessions.
    pub gateway: bool,
    /// Knows who is online.
    pub status: bool,
    /// Takes the requests of programs.
    pub api: bool,
}

impl Roles {
    /// All of them.
    pub const ALL: Self = Self { gateway: true, status: true, api: true };
}

impl FromStr for Roles {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let mut roles = Self { gateway: false, status: false, api: false };
        for role in text.split(',') {
            match role.trim() {
                "gateway" => roles.gateway = true,
                "status" => roles.status = true,
                "api" => roles.api = true,
                other => {
                    let what =
                        format!("there is no role {other:?}: there are gateway, status, api");
                    return Err(Error::new(Code::InvalidRequest, what));
                }
            }
        }
        Ok(roles)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Option<[bool; 3]>) {
        let roles = text.parse::<Roles>().ok();
        assert_eq!(roles.map(|roles| [roles.gateway, roles.status, roles.api]), expected, "{text}");
    }

    #[test]
    fn roles() {
        check("gateway", Some([true, false, false]));
        check("status, api", Some([false, true, true]));
        check("api,gateway,status", Some([true; 3]));
        check("", None);
        check("gateway,", None);
        check("Gateway", None);
    }
}
