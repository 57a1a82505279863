//! The invented organization: its accounts and regions, and the responses that depend on their number.

use std::{collections::HashMap, fmt::Write};

use http::StatusCode;
use serde_json::{Value, json};

use crate::{
    failure::{JSON, Made, XML, failure},
    ids::Place,
    regions,
    request::Asked,
    text::Names,
};

/// The ID of an account is this number plus its index; the first account has the ID of the recording.
const BASE: u64 = 200_000_000_000;
/// The prefix of the access key of a role; the account ID follows.
const KEY: &str = "ASIAPLAY";
/// The accounts on a page of `ListAccounts`, as at AWS.
const ACCOUNTS_PER_PAGE: usize = 20;
/// The end of a role's credentials, later than any collection.
const EXPIRATION: &str = "2099-12-31T23:59:59Z";
const PARTITION: &str = "aws";

/// The accounts and regions.
#[derive(Debug)]
pub(crate) struct Organization {
    accounts: Vec<String>,
    regions: Vec<String>,
    region_indices: HashMap<String, u16>,
}

impl Organization {
    /// Makes an organization. Its first account has the ID `management`.
    pub(crate) fn new(management: &str, accounts: usize, regions: usize) -> Self {
        let others = (1..accounts as u64).map(|number| (BASE + number).to_string());
        let accounts = [management.to_owned()].into_iter().chain(others).collect();
        let regions = regions::names(regions);
        let region_indices = (0..).zip(&regions).map(|(index, name)| (name.clone(), index)).collect();
        Self { accounts, regions, region_indices }
    }

    pub(crate) fn accounts(&self) -> &[String] {
        &self.accounts
    }

    pub(crate) fn regions(&self) -> &[String] {
        &self.regions
    }

    /// Returns the names of a place.
    pub(crate) fn names(&self, place: Place) -> Names<'_> {
        Names { account: &self.accounts[place.account as usize], region: &self.regions[usize::from(place.region)] }
    }

    /// Returns the index of a region, or `None` if the server does not have it.
    pub(crate) fn region(&self, name: &str) -> Option<u16> {
        self.region_indices.get(name).copied()
    }

    /// Returns the index of the account of an access key. Keys that are not of a role belong to the first account.
    pub(crate) fn account_of(&self, access_key: &str) -> u32 {
        access_key.strip_prefix(KEY).and_then(|id| self.account(id)).unwrap_or(0)
    }

    /// Returns the index of an account, or `None` if the organization does not have it.
    fn account(&self, id: &str) -> Option<u32> {
        if self.accounts.first().is_some_and(|first| first == id) {
            return Some(0);
        }
        let index = id.parse::<u64>().ok()?.checked_sub(BASE)?;
        u32::try_from(index).ok().filter(|index| *index > 0 && (*index as usize) < self.accounts.len())
    }

    /// Returns the name of an operation that depends on the organization, and its response. Returns `None` for all
    /// other operations.
    pub(crate) fn answer(&self, asked: &Asked<'_>, account: &str) -> Option<(&'static str, Made)> {
        let form = |body: String| (StatusCode::OK, XML, body);
        Some(match (asked.signing, asked.operation().as_str()) {
            ("sts", "GetCallerIdentity") => ("sts:GetCallerIdentity", form(caller_identity(account))),
            ("sts", "AssumeRole") => ("sts:AssumeRole", self.assume_role(asked)),
            ("organizations", "ListAccounts") => ("organizations:ListAccounts", self.list_accounts(asked)),
            ("organizations", "DescribeOrganization") => {
                ("organizations:DescribeOrganization", (StatusCode::OK, JSON, self.describe().to_string()))
            }
            ("ec2", "DescribeRegions") => ("ec2:DescribeRegions", form(self.describe_regions())),
            _ => return None,
        })
    }

    fn assume_role(&self, asked: &Asked<'_>) -> Made {
        let role = asked.parameter("RoleArn").unwrap_or_default();
        let id = role.split(':').nth(4).unwrap_or_default();
        if self.account(id).is_none() {
            let message = format!("cannot assume {role}: the organization has no account {id}");
            return failure(asked, StatusCode::FORBIDDEN, "AccessDenied", &message);
        }
        let session = asked.parameter("RoleSessionName").unwrap_or_default();
        let name = role.rsplit('/').next().unwrap_or_default();
        let body = format!(
            "<AssumeRoleResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><AssumeRoleResult><Credentials>\
             <AccessKeyId>{KEY}{id}</AccessKeyId><SecretAccessKey>recorded</SecretAccessKey>\
             <SessionToken>recorded</SessionToken><Expiration>{EXPIRATION}</Expiration></Credentials>\
             <AssumedRoleUser><AssumedRoleId>AROAPLAY:{session}</AssumedRoleId>\
             <Arn>arn:{PARTITION}:sts::{id}:assumed-role/{name}/{session}</Arn></AssumedRoleUser></AssumeRoleResult>\
             <ResponseMetadata><RequestId>replay</RequestId></ResponseMetadata></AssumeRoleResponse>"
        );
        (StatusCode::OK, XML, body)
    }

    fn list_accounts(&self, asked: &Asked<'_>) -> Made {
        let body: Value = serde_json::from_slice(asked.body).unwrap_or_default();
        let token = body.get("NextToken").and_then(Value::as_str).unwrap_or("0");
        let Some(start) = token.parse::<usize>().ok().filter(|start| *start <= self.accounts.len()) else {
            return failure(asked, StatusCode::BAD_REQUEST, "InvalidInputException", "the page token is not valid");
        };
        let size = body.get("MaxResults").and_then(Value::as_u64).and_then(|size| usize::try_from(size).ok());
        let end = (start + size.unwrap_or(ACCOUNTS_PER_PAGE).clamp(1, ACCOUNTS_PER_PAGE)).min(self.accounts.len());
        let accounts: Vec<Value> = (start..end).map(|index| self.describe_account(index)).collect();
        let mut page = json!({"Accounts": accounts});
        if end < self.accounts.len() {
            page["NextToken"] = end.to_string().into();
        }
        (StatusCode::OK, JSON, page.to_string())
    }

    fn describe_account(&self, index: usize) -> Value {
        let (id, management) = (&self.accounts[index], &self.accounts[0]);
        json!({
            "Id": id,
            "Arn": format!("arn:{PARTITION}:organizations::{management}:account/o-replay/{id}"),
            "Email": format!("member-{index}@example.test"),
            "Name": if index == 0 { "management".to_owned() } else { format!("member-{index}") },
            "Status": "ACTIVE",
            "State": "ACTIVE",
            "JoinedMethod": "CREATED",
            "JoinedTimestamp": 1_635_724_800,
        })
    }

    fn describe(&self) -> Value {
        let management = &self.accounts[0];
        json!({"Organization": {
            "Id": "o-replay",
            "Arn": format!("arn:{PARTITION}:organizations::{management}:organization/o-replay"),
            "FeatureSet": "ALL",
            "MasterAccountArn": format!("arn:{PARTITION}:organizations::{management}:account/o-replay/{management}"),
            "MasterAccountId": management,
            "MasterAccountEmail": "member-0@example.test",
        }})
    }

    fn describe_regions(&self) -> String {
        let mut body = String::from("<DescribeRegionsResponse xmlns=\"http://ec2.amazonaws.com/doc/2016-11-15/\">");
        body += "<requestId>replay</requestId><regionInfo>";
        for region in &self.regions {
            // Writing to a string does not fail.
            let _ = write!(
                body,
                "<item><regionName>{region}</regionName><regionEndpoint>ec2.{region}.amazonaws.com</regionEndpoint>\
                 <optInStatus>opt-in-not-required</optInStatus></item>"
            );
        }
        body + "</regionInfo></DescribeRegionsResponse>"
    }
}

fn caller_identity(account: &str) -> String {
    format!(
        "<GetCallerIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><GetCallerIdentityResult>\
         <Arn>arn:{PARTITION}:sts::{account}:user/replay</Arn><UserId>AIDAPLAY</UserId><Account>{account}</Account>\
         </GetCallerIdentityResult><ResponseMetadata><RequestId>replay</RequestId></ResponseMetadata>\
         </GetCallerIdentityResponse>"
    )
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    const FORM: Asked<'_> = Asked { signing: "sts", method: "POST", path: "/", target: "", body: b"" };

    #[test]
    fn access_keys_lead_to_their_accounts() {
        let organization = Organization::new("123456789012", 3, 1);
        for (index, id) in (0..).zip(organization.accounts()) {
            let body = format!("Action=AssumeRole&RoleArn=arn%3Aaws%3Aiam%3A%3A{id}%3Arole%2FCloudkeeper");
            let (_, (status, _, answer)) =
                organization.answer(&Asked { body: body.as_bytes(), ..FORM }, "123456789012").unwrap();
            assert_eq!(status, StatusCode::OK);
            let key = answer.split("<AccessKeyId>").nth(1).unwrap().split('<').next().unwrap();
            assert_eq!(organization.account_of(key), index);
        }
        assert_eq!(organization.account_of("testing"), 0);
    }

    #[test]
    fn roles_of_other_accounts_are_denied() {
        let organization = Organization::new("123456789012", 3, 1);
        let body = b"Action=AssumeRole&RoleArn=arn%3Aaws%3Aiam%3A%3A200000000003%3Arole%2FCloudkeeper";
        let (_, (status, _, answer)) = organization.answer(&Asked { body, ..FORM }, "123456789012").unwrap();
        assert_eq!(status, StatusCode::FORBIDDEN);
        assert!(answer.contains("<Code>AccessDenied</Code>"), "{answer}");
    }

    #[test]
    fn accounts_come_in_pages() {
        let organization = Organization::new("123456789012", 45, 1);
        let (mut found, mut token, mut pages) = (Vec::new(), String::from("0"), 0);
        while !token.is_empty() {
            let body = json!({"NextToken": token}).to_string();
            let target = "AWSOrganizationsV20161128.ListAccounts";
            let asked = Asked { signing: "organizations", target, body: body.as_bytes(), ..FORM };
            let page: Value = serde_json::from_str(&organization.answer(&asked, "").unwrap().1.2).unwrap();
            found.extend(page["Accounts"].as_array().unwrap().iter().map(|one| one["Id"].as_str().unwrap().to_owned()));
            token = page["NextToken"].as_str().unwrap_or_default().to_owned();
            pages += 1;
        }
        assert_eq!((found.as_slice(), pages), (organization.accounts(), 3));
    }
}
