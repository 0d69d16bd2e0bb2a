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

    /// Whether these fit with the node that is reported to. Of a store that nodes share
    /// (`is_shared`) each status node reads all reports itself.
    ///
    /// # Errors
    ///
    /// [`Code::InvalidRequest`] for a gateway that knows no status node, one that needs none, and
    /// what is no URL.
    pub fn check(self, status_url: Option<&str>, is_shared: bool) -> Result<(), Error> {
        let refused = |what: String| Err(Error::new(Code::InvalidRequest, what));
        let reports = self.gateway && !self.status;
        match status_url {
            None if is_shared => Ok(()),
            Some(_) if is_shared => refused(
                "nodes that share a store need no status URL: their reports are in the store"
                    .to_owned(),
            ),
            Some(_) if !reports => {
                refused("only a gateway without the role status reports to another node".to_owned())
            }
            None if reports => refused(
                "a gateway without the role status needs to know the node that has it".to_owned(),
            ),
            Some(url) if !url.starts_with("http://") || url.parse::<http::Uri>().is_err() => {
                refused(format!("{url:?} is no URL of a node, such as http://127.0.0.1:7400"))
            }
            _ => Ok(()),
        }
    }
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
