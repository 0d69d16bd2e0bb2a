//! The one table from the rules' codes to the transports' statuses.

use http::StatusCode;
use switchboard_core::{Code, Error};
use tonic_types::{ErrorDetails, StatusExt as _};

/// What one code is called on each transport.
pub(crate) const fn of(code: Code) -> (tonic::Code, StatusCode) {
    use tonic::Code as Grpc;
    match code {
        Code::InvalidKey
        | Code::InvalidTenant
        | Code::InvalidPhone
        | Code::InvalidRecipient
        | Code::InvalidText
        | Code::InvalidCursor
        | Code::InvalidId
        | Code::InvalidEncryptionKey
        | Code::InvalidValue
        | Code::InvalidTopic
        | Code::InvalidType
        | Code::InvalidQueue
        | Code::InvalidRequest => (Grpc::InvalidArgument, StatusCode::BAD_REQUEST),
        Code::TooLarge => (Grpc::ResourceExhausted, StatusCode::PAYLOAD_TOO_LARGE),
        Code::TooManyRequests | Code::SlowConsumer => {
            (Grpc::ResourceExhausted, StatusCode::TOO_MANY_REQUESTS)
        }
        Code::Unauthorized => (Grpc::Unauthenticated, StatusCode::UNAUTHORIZED),
        Code::Forbidden => (Grpc::PermissionDenied, StatusCode::FORBIDDEN),
        Code::Conflict => (Grpc::Aborted, StatusCode::CONFLICT),
        Code::NotFound => (Grpc::NotFound, StatusCode::NOT_FOUND),
        // What was there once, and whoever holds its cursor can do nothing about it.
        Code::CursorExpired => (Grpc::NotFound, StatusCode::GONE),
        Code::MethodNotAllowed => (Grpc::Unimplemented, StatusCode::METHOD_NOT_ALLOWED),
        Code::UnsupportedMediaType => (Grpc::InvalidArgument, StatusCode::UNSUPPORTED_MEDIA_TYPE),
        Code::Unavailable => (Grpc::Unavailable, StatusCode::SERVICE_UNAVAILABLE),
        Code::Internal => (Grpc::Internal, StatusCode::INTERNAL_SERVER_ERROR),
    }
}

/// The error as gRPC tells it: its sentence, and its code as the reason of an `ErrorInfo`.
pub(crate) fn grpc(error: &Error) -> tonic::Status {
    let (code, _) = of(error.code());
    let details = ErrorDetails::with_error_info(error.code().as_str(), "switchboard", []);
    tonic::Status::with_error_details(code, error.to_string(), details)
}

/// What the transport itself said of a message, as an error of ours: too long, or no message.
pub(crate) fn of_transport(code: tonic::Code, message: &str) -> Option<Error> {
    match code {
        tonic::Code::OutOfRange => {
            Some(Error::new(Code::TooLarge, "the message is longer than this node takes"))
        }
        tonic::Code::Internal if message.contains("decode") => Some(Error::new(
            Code::InvalidRequest,
            "the message is not the protobuf message that this call takes",
        )),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;

    /// The table as the documentation prints it.
    #[test]
    fn table() {
        let mut table = String::new();
        for code in Code::ALL {
            let (grpc, http) = of(code);
            writeln!(table, "{code} {grpc:?} {}", http.as_u16()).unwrap();
        }
        assert_eq!(
            table,
            "\
invalid_key InvalidArgument 400
invalid_tenant InvalidArgument 400
invalid_phone InvalidArgument 400
invalid_recipient InvalidArgument 400
invalid_text InvalidArgument 400
invalid_cursor InvalidArgument 400
invalid_id InvalidArgument 400
invalid_encryption_key InvalidArgument 400
invalid_value InvalidArgument 400
invalid_topic InvalidArgument 400
invalid_type InvalidArgument 400
invalid_queue InvalidArgument 400
invalid_request InvalidArgument 400
too_large ResourceExhausted 413
too_many_requests ResourceExhausted 429
unauthorized Unauthenticated 401
forbidden PermissionDenied 403
conflict Aborted 409
not_found NotFound 404
cursor_expired NotFound 410
slow_consumer ResourceExhausted 429
method_not_allowed Unimplemented 405
unsupported_media_type InvalidArgument 415
unavailable Unavailable 503
internal Internal 500
"
        );
    }
}
