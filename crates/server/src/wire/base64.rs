//! Bytes within JSON.

use base64ct::{Base64, Base64Unpadded, Base64Url, Base64UrlUnpadded, Encoding as _};

/// Bytes as protobuf's JSON writes them.
pub(crate) fn write(bytes: &[u8]) -> String {
    Base64::encode_string(bytes)
}

/// Bytes as any writer of protobuf's JSON may write them: in either alphabet, padded or not.
pub(crate) fn read(text: &str) -> Option<Vec<u8>> {
    let (url, padded) = (text.contains(['-', '_']), text.ends_with('='));
    let bytes = match (url, padded) {
        (false, true) => Base64::decode_vec(text),
        (false, false) => Base64Unpadded::decode_vec(text),
        (true, true) => Base64Url::decode_vec(text),
        (true, false) => Base64UrlUnpadded::decode_vec(text),
    };
    bytes.ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_back_however_they_are_written() {
        let bytes = [0xfb, 0xff, 0x01, 0x00];
        assert_eq!(write(&bytes), "+/8BAA==");
        for text in ["+/8BAA==", "+/8BAA", "-_8BAA==", "-_8BAA"] {
            assert_eq!(read(text).as_deref(), Some(&bytes[..]), "{text}");
        }
        assert_eq!(read(""), Some(Vec::new()));
        for text in ["+_8BAA", "a", "é", "aa=a"] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
