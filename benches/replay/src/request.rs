//! Requests: signature scope, operation, and key in the recording.

use http::{HeaderMap, header::AUTHORIZATION};
use serde_json::Value;

use crate::{
    ids::{Ids, Place},
    text::{Names, normalise, percent_decoded},
};

/// The parts of a request that determine its response.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked<'a> {
    /// The name that the service signs with, such as `monitoring`.
    pub(crate) signing: &'a str,
    pub(crate) method: &'a str,
    /// Path and query.
    pub(crate) path: &'a str,
    /// The value of `X-Amz-Target`; empty without one.
    pub(crate) target: &'a str,
    pub(crate) body: &'a [u8],
}

/// The scope of a signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Scope<'a> {
    pub(crate) access_key: &'a str,
    pub(crate) region: &'a str,
    pub(crate) signing: &'a str,
}

impl<'a> Scope<'a> {
    /// Reads the `Authorization` header. Returns `None` if the request is not signed.
    pub(crate) fn of(headers: &'a HeaderMap) -> Option<Self> {
        let value = headers.get(AUTHORIZATION)?.to_str().ok()?;
        let scope = value.split_once("Credential=")?.1.split([',', ' ']).next()?;
        let mut parts = scope.split('/');
        let (access_key, _day) = (parts.next()?, parts.next()?);
        Some(Self { access_key, region: parts.next()?, signing: parts.next()? })
    }
}

/// Services whose resources belong to an account as a whole, whatever region a request is signed for.
const GLOBAL: [&str; 2] = ["iam", "s3"];

impl<'a> Asked<'a> {
    /// Whether the response is the same in all regions.
    pub(crate) fn is_global(&self) -> bool {
        GLOBAL.contains(&self.signing)
    }

    /// Returns the region in the body of a request for prices: the price list of all regions is served in one region.
    pub(crate) fn priced_region(&self) -> Option<String> {
        if self.signing != "pricing" {
            return None;
        }
        let body: Value = serde_json::from_slice(self.body).ok()?;
        let terms = body.get("Filters")?.as_array()?;
        let term = terms.iter().find(|term| term.get("Field").is_some_and(|field| field == "regionCode"))?;
        term.get("Value")?.as_str().map(str::to_owned)
    }

    /// Returns the operation, or method and path of a REST request.
    pub(crate) fn operation(&self) -> String {
        if let Some((_, operation)) = self.target.rsplit_once('.') {
            return operation.to_owned();
        }
        self.parameter("Action").unwrap_or_else(|| format!("{} {}", self.method, self.path))
    }

    /// Returns a parameter of a form.
    pub(crate) fn parameter(&self, name: &str) -> Option<String> {
        let fields = self.body.split(|byte| *byte == b'&');
        let value = fields.filter_map(|field| {
            let (known, value) = std::str::from_utf8(field).ok()?.split_once('=')?;
            (known == name).then_some(value)
        });
        value.map(|value| String::from_utf8_lossy(&percent_decoded(value.as_bytes())).into_owned()).next()
    }
}

/// Returns the key of a request. Requests that differ only in account, region, resource IDs and moments have the same
/// key.
pub(crate) fn key(asked: &Asked<'_>, names: Names<'_>, recorded: Names<'_>, ids: Option<(&Ids, Place)>) -> Vec<u8> {
    let mut key = Vec::with_capacity(asked.body.len() + asked.path.len() + 128);
    for text in [asked.signing, asked.method, asked.target] {
        key.extend_from_slice(text.as_bytes());
        key.push(b'\n');
    }
    normalise(&percent_decoded(asked.path.as_bytes()), names, recorded, ids, &mut key);
    key.push(b'\n');
    normalise(&percent_decoded(asked.body), names, recorded, ids, &mut key);
    key
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    const FORM: Asked<'_> = Asked { signing: "ec2", method: "POST", path: "/", target: "", body: b"" };

    #[test]
    fn scope_is_read_from_the_signature() {
        let mut headers = HeaderMap::new();
        assert_eq!(Scope::of(&headers), None);
        let value =
            "AWS4-HMAC-SHA256 Credential=AK/20211101/eu-west-1/ec2/aws4_request, SignedHeaders=host, Signature=0";
        headers.insert(AUTHORIZATION, value.parse().unwrap());
        assert_eq!(Scope::of(&headers), Some(Scope { access_key: "AK", region: "eu-west-1", signing: "ec2" }));
    }

    #[test]
    fn operations_are_named() {
        let form = Asked { body: b"Version=1&Action=DescribeVpcs&RoleArn=arn%3Aaws%3Aiam", ..FORM };
        assert_eq!(form.operation(), "DescribeVpcs");
        assert_eq!(form.parameter("RoleArn").unwrap(), "arn:aws:iam");
        assert_eq!(
            Asked { target: "GraniteServiceVersion20100801.GetMetricData", ..FORM }.operation(),
            "GetMetricData"
        );
        assert_eq!(Asked { method: "GET", path: "/clusters", ..FORM }.operation(), "GET /clusters");
    }

    #[test]
    fn price_list_names_the_region_in_the_body() {
        let body = br#"{"Filters":[{"Field":"x","Value":"y"},{"Field":"regionCode","Value":"eu-west-1"}]}"#;
        let asked = Asked { signing: "pricing", body, ..FORM };
        assert_eq!(asked.priced_region().unwrap(), "eu-west-1");
        assert_eq!(Asked { signing: "ec2", ..asked }.priced_region(), None);
    }
}
