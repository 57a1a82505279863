//! Addresses of buckets.

use super::{
    endpoint::{Endpoint, Endpoints},
    model::Operation,
    request::Outgoing,
};

/// The operation that returns the region of a bucket. A bucket's host leads to the bucket's region, which rejects
/// signatures for another one, so that this call keeps the bucket in the path.
const LOCATION: &str = "GetBucketLocation";

/// Moves the bucket from the request's path to its place in the endpoint, and returns the endpoint.
///
/// # Errors
/// Why there is no such endpoint, or that the bucket is given as an ARN.
pub(super) fn address(
    operation: &Operation,
    endpoints: &Endpoints,
    region: &str,
    outgoing: &mut Outgoing,
    bucket: &str,
) -> Result<Endpoint, String> {
    if bucket.starts_with("arn:") {
        return Err(format!("the bucket {bucket} is an access point, which is not supported"));
    }
    let found = endpoints.of_bucket(bucket, region, operation.name == LOCATION)?;
    // Two slashes follow the scheme, the next one follows the host.
    let path = found.url.match_indices('/').nth(2).map_or(found.url.len(), |(at, _)| at);
    let (origin, path) = found.url.split_at(path);
    let rest = outgoing.target.get(bucket.len() + 1..).unwrap_or_default();
    let slash = if path.is_empty() && !rest.starts_with('/') { "/" } else { "" };
    outgoing.target = format!("{path}{slash}{rest}");
    let is_bucket_host = !path.ends_with(bucket);
    Ok(Endpoint { url: origin.to_owned(), is_bucket_host, ..found })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::{
        super::{endpoint::EndpointSettings, model},
        *,
    };

    fn addressed(bucket: &str, target: &str, settings: &EndpointSettings) -> (String, String) {
        let mut outgoing = Outgoing { target: target.into(), ..Outgoing::default() };
        let operation = model::operation("s3", "GetBucketTagging").unwrap();
        address(operation, &Endpoints::new(settings.clone()), "eu-central-1", &mut outgoing, bucket)
            .map(|endpoint| (endpoint.url, outgoing.target))
            .unwrap_or_default()
    }

    #[test]
    fn plain_name_moves_into_host() {
        let host = "https://my-bucket.s3.eu-central-1.amazonaws.com".to_owned();
        let aws = EndpointSettings::default();
        assert_eq!(addressed("my-bucket", "/my-bucket?tagging", &aws), (host.clone(), "/?tagging".into()));
        assert_eq!(addressed("my-bucket", "/my-bucket/a/b", &aws), (host.clone(), "/a/b".into()));
        assert_eq!(addressed("my-bucket", "/my-bucket", &aws), (host, "/".into()));
    }

    #[test]
    fn other_names_and_other_servers_keep_the_path() {
        let aws = ("https://s3.eu-central-1.amazonaws.com", EndpointSettings::default());
        let own = ("http://127.0.0.1:1", EndpointSettings::all("http://127.0.0.1:1"));
        for (bucket, (host, settings)) in [("my.bucket", &aws), ("My_Bucket", &aws), ("my-bucket", &own)] {
            for rest in ["?tagging", "/a/b?x", ""] {
                let target = format!("/{bucket}{rest}");
                assert_eq!(addressed(bucket, &target, settings), ((*host).to_owned(), target.clone()), "{bucket}");
            }
        }
        assert_eq!(addressed("arn:aws:s3:eu-central-1:123456789012:accesspoint/a", "/x", &aws.1), Default::default());
    }

    #[test]
    fn path_of_an_own_server_precedes_the_bucket() {
        let own = EndpointSettings::all("http://127.0.0.1:1/base");
        let found = addressed("my-bucket", "/my-bucket?tagging", &own);
        assert_eq!(found, ("http://127.0.0.1:1".into(), "/base/my-bucket?tagging".into()));
    }
}
