//! Deletion of buckets. Each bucket has its own region, and must be empty: versions, delete markers and multipart
//! uploads included.
//!
//! The bucket is deleted before anything in it is removed: S3 checks permissions and the bucket's policy first, so that
//! a bucket that cannot be deleted keeps its objects.

use std::ops::Deref;

use futures_util::{StreamExt, TryStreamExt, stream};
use serde_json::{Map, Value, json};
use worker_proto::{Failure, Outcome};

use crate::engine::{CallError, Request, Response, Tree, change::Change};

/// The most objects that one call deletes.
const BATCH: usize = 1000;
/// The calls for single objects at the same time.
const SINGLE_CALLS: usize = 8;

/// A bucket to delete.
pub(super) struct Bucket<'c>(pub(super) &'c Change);

impl Deref for Bucket<'_> {
    type Target = Change;

    fn deref(&self) -> &Change {
        self.0
    }
}

impl Bucket<'_> {
    /// Empties and deletes the bucket.
    pub(super) async fn delete(&self) -> Result<Outcome, Failure> {
        let bucket = self.target.id.as_str();
        if bucket.is_empty() {
            return Err(self.failed("the bucket has no name"));
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

    /// Returns the bucket's region, which the list of buckets does not have.
    async fn bucket_region(&self, bucket: &str) -> Result<String, CallError> {
        let response = match self.bucket_call("GetBucketLocation", &self.region, with_bucket(bucket)).await {
            Ok(response) => response,
            Err(CallError { moved_to: Some(region), .. }) => return Ok(region.into()),
            Err(error) => return Err(error),
        };
        let tree = response.tree()?;
        let location = tree.at("LocationConstraint").and_then(Tree::text).filter(|location| !location.is_empty());
        Ok(match location {
            None => self.region.clone(),
            // The name of the region before regions had names.
            Some("EU") => "eu-west-1".to_owned(),
            Some(location) => location.to_owned(),
        })
    }

    async fn delete_versions(&self, bucket: &str, region: &str) -> Result<Result<(), Failure>, CallError> {
        let request = self.bucket_request("ListObjectVersions", region, self.own(bucket));
        let mut pages = self.pages(request);
        while let Some(page) = pages.next().await {
            let page = page?;
            let (objects, unfit): (Vec<_>, Vec<_>) = versions(&page.tree()?).into_iter().partition(fits_xml);
            self.delete_singly(bucket, region, unfit).await?;
            for batch in objects.chunks(BATCH) {
                let mut input = self.own(bucket);
                input.insert("Delete".into(), json!({ "Objects": batch, "Quiet": true }));
                let response = self.bucket_call("DeleteObjects", region, input).await?;
                let tree = response.tree()?;
                if let Some(refusal) = tree.at("Errors[0]") {
                    let part = |name| refusal.get(name).and_then(Tree::text).unwrap_or_default();
                    let (key, code, message) = (part("Key"), part("Code"), part("Message"));
                    return Ok(Err(self.failed(&format!("cannot delete its object {key}: {code}: {message}"))));
                }
            }
        }
        Ok(Ok(()))
    }

    /// Deletes objects one by one: a path can hold any key.
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
        let mut pages = self.pages(self.bucket_request("ListMultipartUploads", region, self.own(bucket)));
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

    /// Returns the parameters of a call that fails unless the bucket is this account's. Names are global, and after a
    /// deletion any account may use one.
    fn own(&self, bucket: &str) -> Map<String, Value> {
        let mut input = with_bucket(bucket);
        input.insert("ExpectedBucketOwner".into(), self.target.account.id.as_str().into());
        input
    }

    async fn bucket_call(
        &self,
        operation: &str,
        region: &str,
        input: Map<String, Value>,
    ) -> Result<Response, CallError> {
        self.send(self.bucket_request(operation, region, input)).await
    }

    fn bucket_request<'a>(&'a self, operation: &'a str, region: &'a str, input: Map<String, Value>) -> Request<'a> {
        Request { region, ..self.request(operation, input) }
    }
}

fn with_bucket(bucket: &str) -> Map<String, Value> {
    Map::from_iter([("Bucket".to_owned(), Value::from(bucket))])
}

/// Returns the versions and delete markers of a page as `DeleteObjects` expects them.
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

/// Returns whether an XML document can hold the key of an object unchanged. XML has no control characters and lacks two
/// other characters, and parsers normalize line ends.
fn fits_xml(object: &Value) -> bool {
    let key = object.get("Key").and_then(Value::as_str).unwrap_or_default();
    !key.chars().any(|character| character < ' ' || matches!(character, '\u{fffe}' | '\u{ffff}'))
}
