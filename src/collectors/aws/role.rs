//! The role of `--aws-role`: a name, a path and a name, or an ARN.

/// A role as given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Role {
    /// The path, if any, and the name.
    pub(crate) name: String,
    /// The partition and the account of an ARN; the role exists in this account only.
    pub(crate) owner: Option<Owner>,
}

/// The location of an ARN's role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Owner {
    /// The partition, such as `aws` or `aws-cn`.
    pub(crate) partition: String,
    /// The account ID.
    pub(crate) account: String,
}

const FORMS: &str = "expected the name of a role (Cloudkeeper), a path and a name (team/Cloudkeeper), or an ARN \
                     (arn:aws:iam::123456789012:role/Cloudkeeper)";

impl Role {
    /// Parses the value of an option.
    ///
    /// # Errors
    /// A part of a sentence that says what is wrong.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        if !text.starts_with("arn:") {
            return Ok(Self { name: path_and_name(text)?, owner: None });
        }
        let parts: Vec<&str> = text.splitn(6, ':').collect();
        let [_, partition, "iam", "", account, resource] = parts[..] else { return Err(FORMS.to_owned()) };
        let Some(name) = resource.strip_prefix("role/") else { return Err(FORMS.to_owned()) };
        let is_partition = partition.starts_with("aws")
            && partition.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
        if !is_partition || !is_account_id(account) {
            return Err(FORMS.to_owned());
        }
        let owner = Owner { partition: partition.to_owned(), account: account.to_owned() };
        Ok(Self { name: path_and_name(name)?, owner: Some(owner) })
    }
}

/// Returns whether a string is an account ID.
pub(crate) fn is_account_id(text: &str) -> bool {
    text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Returns the path without leading slash, and the name, within IAM's limits.
fn path_and_name(text: &str) -> Result<String, String> {
    let text = text.strip_prefix('/').unwrap_or(text);
    let (path, name) = text.rsplit_once('/').map_or((None, text), |(path, name)| (Some(path), name));
    if !(1..=64).contains(&name.len()) || !name.chars().all(is_name_character) {
        return Err(format!("the name of a role has 1 to 64 letters, digits and +=,.@_-; {FORMS}"));
    }
    let is_path = |path: &str| {
        path.len() <= 510 && path.split('/').all(|word| !word.is_empty() && word.bytes().all(|b| b.is_ascii_graphic()))
    };
    if !path.is_none_or(is_path) {
        return Err(format!("the path of a role has words of printable ASCII joined by slashes; {FORMS}"));
    }
    Ok(text.to_owned())
}

/// Returns whether IAM allows a character in the names of roles and sessions.
fn is_name_character(character: char) -> bool {
    character.is_ascii_alphanumeric() || "+=,.@_-".contains(character)
}

/// Checks an external ID.
///
/// # Errors
/// A part of a sentence that says what is wrong.
pub(crate) fn check_external_id(text: &str) -> Result<(), String> {
    let fits = (2..=1224).contains(&text.len()) && text.chars().all(|c| is_name_character(c) || ":/".contains(c));
    fits.then_some(()).ok_or_else(|| "an external ID has 2 to 1224 letters, digits and +=,.@:/_-".to_owned())
}

/// Checks the name of a session.
///
/// # Errors
/// A part of a sentence that says what is wrong.
pub(crate) fn check_session_name(text: &str) -> Result<(), String> {
    let fits = (2..=64).contains(&text.len()) && text.chars().all(is_name_character);
    fits.then_some(()).ok_or_else(|| "the name of a session has 2 to 64 letters, digits and +=,.@_-".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn role_is_name_path_or_arn() {
        let owner =
            |partition: &str| Some(Owner { partition: partition.to_owned(), account: "123456789012".to_owned() });
        for (text, name, owner) in [
            ("Reader", "Reader", None),
            ("/Reader", "Reader", None),
            ("path/to/Reader+=,.@_-", "path/to/Reader+=,.@_-", None),
            ("/path/Reader", "path/Reader", None),
            ("arn:aws:iam::123456789012:role/Reader", "Reader", owner("aws")),
            ("arn:aws-us-gov:iam::123456789012:role/a/b/Reader", "a/b/Reader", owner("aws-us-gov")),
        ] {
            assert_eq!(Role::parse(text), Ok(Role { name: name.to_owned(), owner }), "{text}");
        }
    }

    #[test]
    fn invalid_roles_are_rejected() {
        let long = "x".repeat(65);
        for text in [
            "",
            "/",
            "a/",
            "a//b",
            "//a",
            "Rea der",
            "Rôle",
            long.as_str(),
            "arn:",
            "arn:aws:iam::123456789012:user/Reader",
            "arn:aws:sts::123456789012:assumed-role/Reader/x",
            "arn:aws:iam::12345678901:role/Reader",
            "arn:aws:iam:us-east-1:123456789012:role/Reader",
            "arn:aws:iam::123456789012:role/",
            "arn::iam::123456789012:role/R",
        ] {
            assert!(Role::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn ids_and_names_of_sessions_have_the_form_of_sts() {
        let long = "x".repeat(1225);
        for (text, is_external_id, is_session) in [
            ("example-1", true, true),
            ("a:b/c", true, false),
            ("x", false, false),
            ("a b", false, false),
            (&long[..64], true, true),
            (&long[..65], true, false),
            (long.as_str(), false, false),
        ] {
            assert_eq!(check_external_id(text).is_ok(), is_external_id, "{text}");
            assert_eq!(check_session_name(text).is_ok(), is_session, "{text}");
        }
    }
}
