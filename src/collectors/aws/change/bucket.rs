//! Buckets: each has a region of its own, and must be empty, versions, delete markers and open uploads included.
//!
//! The deletion is tried before anything is removed: S3 checks rights and the bucket's policy first, so a bucket that
//! would be refused when it is empty keeps its objects.

use futures_util::{StreamExt, TryStreamExt, stream};
use serde_json::{Map, Value, json};
use worker_proto::{Failure, Outcome};

use super::Change;
use crate::collectors::aws::client::{CallError, Reply, Request, Tree};

/// Objects that one call deletes, at most.
const BATCH: usize = 1000;
/// Calls for single objects at the same time.
const SINGLE_CALLS: usize = 8;

impl Change {
    /// Empties the bucket and deletes it.
    pub(super) async fn delete_bucket(&self) -> Result<Outcome, Failure> {
        let bucket = self.target.id.as_str();
        if bucket.is_empty() {
            return Err(self.failed("a bucket without a name"));
        }
        match self.empty_and_delete(bucket).await {
            Ok(result) => result.map(|()| Outcome::Done),
            Err(error) if error.code == "NoSuchBucket" => Ok(Outcome::Done),
            Err(error) => Err(self.failure(&error)),
        }
    }

    async fn empty_and_delete(&self, bucket: &str) -> Result<Result<(), Failure>, CallError> {
        let region = self.bucket_region(bucket).await?;
        match self.bucket_call("DeleteBucket", &region, self.own(bucket)).await {
            Ok(_) => return Ok(Ok(())),
            Err(error) if error.code == "BucketNotEmpty" => {}
            Err(error) => return Err(error),
        }
        if let Err(failure) = self.delete_versions(bucket, &region).await? {
            return Ok(Err(failure));
        }
        self.abort_uploads(bucket, &region).await?;
        self.bucket_call("DeleteBucket", &region, self.own(bucket)).await.map(|_| Ok(()))
    }

    /// The list of buckets does not say where they are.
    async fn bucket_region(&self, bucket: &str) -> Result<String, CallError> {
        let reply = match self.bucket_call("GetBucketLocation", &self.region, with_bucket(bucket)).await {
            Ok(reply) => reply,
            Err(CallError { moved_to: Some(region), .. }) => return Ok(region.into()),
            Err(error) => return Err(error),
        };
        let tree = reply.tree()?;
        let location = tree.at("LocationConstraint").and_then(Tree::text).filter(|location| !location.is_empty());
        Ok(match location {
            None => self.region.clone(),
            // Its name before regions had names.
            Some("EU") => "eu-west-1".to_owned(),
            Some(location) => location.to_owned(),
        })
    }

    async fn delete_versions(&self, bucket: &str, region: &str) -> Result<Result<(), Failure>, CallError> {
        let request = self.bucket_request("ListObjectVersions", region, self.own(bucket));
        let mut pages = self.client.pages(request);
        while let Some(page) = pages.next().await {
            let page = page?;
            let (objects, unfit): (Vec<_>, Vec<_>) = versions(&page.tree()?).into_iter().partition(fits_xml);
            self.delete_singly(bucket, region, unfit).await?;
            for batch in objects.chunks(BATCH) {
                let mut input = self.own(bucket);
                input.insert("Delete".into(), json!({ "Objects": batch, "Quiet": true }));
                let reply = self.bucket_call("DeleteObjects", region, input).await?;
                let tree = reply.tree()?;
                if let Some(refusal) = tree.at("Errors[0]") {
                    let part = |name| refusal.get(name).and_then(Tree::text).unwrap_or_default();
                    let (key, code, message) = (part("Key"), part("Code"), part("Message"));
                    return Ok(Err(self.failed(&format!("its object {key} cannot be deleted: {code}: {message}"))));
                }
            }
        }
        Ok(Ok(()))
    }

    /// Deletes objects by their paths, which hold any key.
    async fn delete_singly(&self, bucket: &str, region: &str, objects: Vec<Value>) -> Result<(), CallError> {
        let calls = objects.into_iter().map(|object| {
            let mut input = self.own(bucket);
            input.extend(object.as_object().cloned().unwrap_or_default());
            async move {
                match self.bucket_call("DeleteObject", region, input).await {
                    Err(error) if !error.means_deleted() => Err(error),
                    _ => Ok(()),
                }
            }
        });
        stream::iter(calls).buffer_unordered(SINGLE_CALLS).try_collect().await
    }

    async fn abort_uploads(&self, bucket: &str, region: &str) -> Result<(), CallError> {
        let mut pages = self.client.pages(self.bucket_request("ListMultipartUploads", region, self.own(bucket)));
        while let Some(page) = pages.next().await {
            let page = page?;
            let uploads: Vec<(String, String)> = {
                let tree = page.tree()?;
                let text = |upload: &Tree<'_>, name| upload.get(name).and_then(Tree::text).map(str::to_owned);
                let uploads = tree.path("Uploads[]");
                uploads.into_iter().filter_map(|each| Some((text(each, "Key")?, text(each, "UploadId")?))).collect()
            };
            for (key, upload) in uploads {
                let mut input = self.own(bucket);
                input.insert("Key".into(), key.into());
                input.insert("UploadId".into(), upload.into());
                match self.bucket_call("AbortMultipartUpload", region, input).await {
                    Err(error) if !error.means_deleted() => return Err(error),
                    _ => {}
                }
            }
        }
        Ok(())
    }

    /// The bucket, if it is this account's: names are global, and after a deletion anybody may take one.
    fn own(&self, bucket: &str) -> Map<String, Value> {
        let mut input = with_bucket(bucket);
        input.insert("ExpectedBucketOwner".into(), self.target.account.id.as_str().into());
        input
    }

    async fn bucket_call(&self, operation: &str, region: &str, input: Map<String, Value>) -> Result<Reply, CallError> {
        self.client.call(self.bucket_request(operation, region, input)).await
    }

    fn bucket_request<'a>(&'a self, operation: &'a str, region: &'a str, input: Map<String, Value>) -> Request<'a> {
        Request { service: &self.service.service, operation, region, input }
    }
}

fn with_bucket(bucket: &str) -> Map<String, Value> {
    Map::from_iter([("Bucket".to_owned(), Value::from(bucket))])
}

/// Versions and delete markers of a page, as a deletion wants them.
fn versions(page: &Tree<'_>) -> Vec<Value> {
    let objects = page.path("Versions[]").into_iter().chain(page.path("DeleteMarkers[]"));
    objects
        .filter_map(|object| {
            let key = object.get("Key").and_then(Tree::text)?;
            Some(match object.get("VersionId").and_then(Tree::text) {
                Some(version) => json!({ "Key": key, "VersionId": version }),
                None => json!({ "Key": key }),
            })
        })
        .collect()
}

/// Whether the key of an object can be in an XML document and is the same afterwards. XML has no control characters and two
/// others, and readers change ends of lines.
fn fits_xml(object: &Value) -> bool {
    let key = object.get("Key").and_then(Value::as_str).unwrap_or_default();
    !key.chars().any(|character| character < ' ' || matches!(character, '\u{fffe}' | '\u{ffff}'))
}
