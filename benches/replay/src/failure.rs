//! Errors in the format of the called service.

use http::StatusCode;

use crate::request::Asked;

/// A generated response: status, content type and body.
pub(crate) type Made = (StatusCode, &'static str, String);

/// The content type of the JSON protocols.
pub(crate) const JSON: &str = "application/x-amz-json-1.1";
/// The content type of the XML protocols.
pub(crate) const XML: &str = "text/xml";

/// Returns an error in the service's format.
pub(crate) fn failure(asked: &Asked<'_>, status: StatusCode, code: &str, message: &str) -> Made {
    let is_json = !asked.target.is_empty() || (asked.body.is_empty() && asked.signing != "s3");
    if is_json {
        let body = serde_json::json!({"__type": code, "code": code, "message": message}).to_string();
        return (status, JSON, body);
    }
    let message = escaped(message);
    let body = match asked.signing {
        "ec2" => format!(
            "<Response><Errors><Error><Code>{code}</Code><Message>{message}</Message></Error></Errors>\
             <RequestID>replay</RequestID></Response>"
        ),
        "s3" => format!("<Error><Code>{code}</Code><Message>{message}</Message><RequestId>replay</RequestId></Error>"),
        _ => format!(
            "<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error>\
             <RequestId>replay</RequestId></ErrorResponse>"
        ),
    };
    (status, XML, body)
}

/// Escapes a string for the content of an XML element.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_have_the_shape_of_the_service() {
        let form = Asked { signing: "ec2", method: "POST", path: "/", target: "", body: b"Action=X" };
        let body = |asked: &Asked<'_>| failure(asked, StatusCode::BAD_REQUEST, "NotRecorded", "a < b").2;
        assert!(
            body(&form).starts_with("<Response><Errors><Error><Code>NotRecorded</Code><Message>a &lt; b</Message>")
        );
        assert!(body(&Asked { signing: "iam", ..form }).starts_with("<ErrorResponse><Error><Type>Sender</Type>"));
        assert!(body(&Asked { signing: "s3", method: "GET", body: b"", ..form }).starts_with("<Error><Code>"));
        assert!(body(&Asked { target: "A.B", ..form }).contains(r#""__type":"NotRecorded""#));
        assert!(body(&Asked { signing: "eks", method: "GET", body: b"", ..form }).starts_with('{'));
    }
}
