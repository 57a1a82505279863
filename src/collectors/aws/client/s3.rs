//! How buckets are addressed.

use super::{endpoint::Endpoint, model::Operation, request::Outgoing};

/// The operation that says where a bucket is.
const LOCATION: &str = "GetBucketLocation";

/// Puts the bucket into the host where that is possible: AWS wants it there. It stays in the path for servers that
/// settings name, for names that do not fit under a wildcard certificate, and for the question where it is: the host of
/// a bucket leads to the bucket's region, which refuses what is signed for another one.
///
/// # Errors
/// A sentence if the bucket is given as an ARN.
pub(super) fn address(
    operation: &Operation,
    endpoint: &mut Endpoint,
    outgoing: &mut Outgoing,
    bucket: &str,
) -> Result<(), String> {
    if bucket.starts_with("arn:") {
        return Err(format!("the bucket {bucket} is an access point, which is not supported"));
    }
    let Some((scheme, host)) = endpoint.url.split_once("://") else { return Ok(()) };
    if endpoint.overridden || operation.name == LOCATION || !fits_host(bucket) {
        return Ok(());
    }
    endpoint.url = format!("{scheme}://{bucket}.{host}");
    let rest = outgoing.target.get(bucket.len() + 1..).unwrap_or_default();
    outgoing.target = if rest.starts_with('/') { rest.to_owned() } else { format!("/{rest}") };
    Ok(())
}

/// Whether a name is one label of a host.
fn fits_host(bucket: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (3..=63).contains(&bucket.len()) && bucket.bytes().all(inner) && !bucket.starts_with('-') && !bucket.ends_with('-')
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::{super::model, *};

    fn addressed(bucket: &str, target: &str, overridden: bool) -> (String, String) {
        let url = "https://s3.eu-central-1.amazonaws.com".to_owned();
        let mut endpoint = Endpoint { url, signing_region: "eu-central-1".into(), overridden };
        let mut outgoing = Outgoing { target: target.into(), ..Outgoing::default() };
        let operation = model::operation("s3", "GetBucketTagging").unwrap();
        address(operation, &mut endpoint, &mut outgoing, bucket)
            .map(|()| (endpoint.url, outgoing.target))
            .unwrap_or_default()
    }

    #[test]
    fn a_plain_name_moves_into_the_host() {
        let host = "https://my-bucket.s3.eu-central-1.amazonaws.com".to_owned();
        assert_eq!(addressed("my-bucket", "/my-bucket?tagging", false), (host.clone(), "/?tagging".into()));
        assert_eq!(addressed("my-bucket", "/my-bucket/a/b", false), (host.clone(), "/a/b".into()));
        assert_eq!(addressed("my-bucket", "/my-bucket", false), (host, "/".into()));
    }

    #[test]
    fn other_names_and_other_servers_keep_the_path() {
        let host = "https://s3.eu-central-1.amazonaws.com".to_owned();
        for (bucket, overridden) in [("my.bucket", false), ("My_Bucket", false), ("my-bucket", true)] {
            let target = format!("/{bucket}?tagging");
            assert_eq!(addressed(bucket, &target, overridden), (host.clone(), target.clone()), "{bucket}");
        }
        assert_eq!(addressed("arn:aws:s3:eu-central-1:123456789012:accesspoint/a", "/x", false), Default::default());
    }
}
