//! The recording: finds the response to a request.

use std::{collections::HashMap, io::Read, sync::Arc};

use flate2::read::GzDecoder;
use http::{HeaderValue, StatusCode};
use serde::Deserialize;

use crate::{
    StartError,
    ids::{Ids, Place},
    request::{Asked, key},
    text::{Names, Template},
};

/// The recording of the repository, made by `scripts/aws-record`.
const EMBEDDED: &[u8] = include_bytes!("../recordings/aws.json.gz");

/// The file, as `scripts/aws-record` writes it.
#[derive(Deserialize)]
struct File {
    account: String,
    region: String,
    exchanges: Vec<Exchange>,
}

#[derive(Deserialize)]
struct Exchange {
    service: String,
    operation: String,
    signing: String,
    method: String,
    path: String,
    target: String,
    request: String,
    status: u16,
    content_type: String,
    answer: String,
}

/// A recorded response.
#[derive(Debug)]
pub(crate) struct Answer {
    /// Service and operation, such as `ec2:DescribeVpcs`.
    pub(crate) name: Arc<str>,
    pub(crate) status: StatusCode,
    pub(crate) content_type: HeaderValue,
    body: Template,
}

/// All recorded responses.
#[derive(Debug)]
pub(crate) struct Recording {
    account: String,
    region: String,
    ids: Ids,
    answers: HashMap<Box<[u8]>, Answer>,
}

impl Recording {
    /// Reads the recording of the repository.
    ///
    /// # Errors
    /// `Recording` if the file is not valid.
    pub(crate) fn embedded() -> Result<Self, StartError> {
        let mut text = String::new();
        GzDecoder::new(EMBEDDED).read_to_string(&mut text).map_err(|error| invalid(&error))?;
        Self::read(serde_json::from_str(&text).map_err(|error| invalid(&error))?)
    }

    fn read(file: File) -> Result<Self, StartError> {
        let recorded = Names { account: &file.account, region: &file.region };
        let mut ids = Ids::default();
        let mut answers = HashMap::new();
        for exchange in &file.exchanges {
            let name = format!("{}:{}", exchange.service, exchange.operation);
            let template = Template::new(&exchange.answer, recorded, &mut ids);
            let body = template.ok_or_else(|| invalid(&format!("too many resource IDs, at {name}")))?;
            let asked = Asked {
                signing: &exchange.signing,
                method: &exchange.method,
                path: &exchange.path,
                target: &exchange.target,
                body: exchange.request.as_bytes(),
            };
            let answer = Answer {
                name: name.into(),
                status: StatusCode::from_u16(exchange.status).map_err(|error| invalid(&error))?,
                content_type: HeaderValue::from_str(&exchange.content_type).map_err(|error| invalid(&error))?,
                body,
            };
            answers.insert(key(&asked, recorded, recorded, None).into(), answer);
        }
        Ok(Self { account: file.account, region: file.region, ids, answers })
    }

    /// Returns account and region of the recording.
    pub(crate) fn names(&self) -> Names<'_> {
        Names { account: &self.account, region: &self.region }
    }

    /// Returns the recorded IDs.
    pub(crate) fn ids(&self) -> &Ids {
        &self.ids
    }

    /// Returns the number of recorded responses.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.answers.len()
    }

    /// Returns the response to a request with this key.
    pub(crate) fn answer(&self, key: &[u8]) -> Option<&Answer> {
        self.answers.get(key)
    }

    /// Returns the body of a response for an account and region.
    pub(crate) fn body(&self, answer: &Answer, place: Place, names: Names<'_>) -> Vec<u8> {
        answer.body.render(&self.ids, place, names)
    }
}

fn invalid(cause: &dyn std::fmt::Display) -> StartError {
    StartError::Recording(cause.to_string())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn embedded_recording_is_complete() {
        let recording = Recording::embedded().unwrap();
        assert!(recording.len() > 100, "{}", recording.len());
        assert!(recording.ids().len() > 200, "{}", recording.ids().len());
        assert_eq!(recording.names().region, "us-east-1");
    }

    #[test]
    fn recorded_names_are_in_no_answer_for_another_place() {
        let recording = Recording::embedded().unwrap();
        let (place, names) = (Place { account: 7, region: 3 }, Names { account: "200000000007", region: "eu-north-1" });
        for answer in recording.answers.values() {
            let body = String::from_utf8(recording.body(answer, place, names)).unwrap();
            for recorded in [recording.names().account, recording.names().region] {
                assert!(!body.contains(recorded), "{}: {body}", answer.name);
            }
        }
    }
}
