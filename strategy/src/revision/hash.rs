//! Short names for contents: FNV-1a (32 bit) in Kubernetes' alphabet for generated names.
//!
//! Invariant: the same content has the same hash for ever. A change here gives every ReplicaSet that this controller
//! makes another name, though no new revision: a ReplicaSet is also found by comparing templates.

use crds::PodTemplate;
use serde::Serialize;
use serde_json::Value;

use super::PodTemplateHash;

const OFFSET: u32 = 2_166_136_261;
const PRIME: u32 = 16_777_619;
/// Letters and digits which can not form a word by accident.
const ALPHABET: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";

/// FNV-1a over the bytes of `content`, as text.
pub fn of_bytes(content: impl IntoIterator<Item = u8>) -> String {
    let sum = content.into_iter().fold(OFFSET, |sum, byte| (sum ^ u32::from(byte)).wrapping_mul(PRIME));
    encode(&sum.to_string())
}

/// Every byte becomes one symbol of the alphabet.
fn encode(text: &str) -> String {
    text.bytes()
        .filter_map(|byte| ALPHABET.get(usize::from(byte) % ALPHABET.len()))
        .map(|symbol| char::from(*symbol))
        .collect()
}

/// The hash of a template. `collision_count` makes another name when the first one is taken by another template.
pub fn hash(template: &PodTemplate, collision_count: Option<i32>) -> PodTemplateHash {
    let mut bytes = Vec::new();
    canonical(&template.0, &mut bytes);
    if let Some(count) = collision_count {
        bytes.extend(count.to_le_bytes());
        bytes.extend([0; 4]);
    }
    PodTemplateHash(of_bytes(bytes))
}

/// JSON with sorted keys and without nulls, so that neither spelling changes a hash.
fn canonical(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Object(map) => {
            let mut fields: Vec<_> = map.iter().filter(|(_, value)| !value.is_null()).collect();
            fields.sort_by_key(|(left, _)| *left);
            out.push(b'{');
            for (index, (key, value)) in fields.into_iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                written(key, out);
                out.push(b':');
                canonical(value, out);
            }
            out.push(b'}');
        }
        Value::Array(items) => {
            out.push(b'[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                canonical(item, out);
            }
            out.push(b']');
        }
        scalar => written(scalar, out),
    }
}

fn written(value: &impl Serialize, out: &mut Vec<u8>) {
    // Writing to memory does not fail.
    let _ = serde_json::to_writer(out, value);
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_published_vectors_of_fnv_1a_come_out() {
        // The sums of "" and "foobar" in the authors' test vectors: 0x811c9dc5 and 0xbf9cf968.
        assert_eq!(of_bytes([]), encode("2166136261"));
        assert_eq!(of_bytes(*b"foobar"), encode("3214735720"));
    }

    #[test]
    fn spelling_does_not_change_a_hash_and_content_does() {
        let hash_of = |value: Value| hash(&PodTemplate(value), None);
        let plain = hash_of(json!({ "metadata": { "labels": { "a": "1", "b": "2" } }, "spec": { "x": 1 } }));
        let other_order =
            json!({ "spec": { "x": 1 }, "metadata": { "creationTimestamp": null, "labels": { "b": "2", "a": "1" } } });
        assert_eq!(plain, hash_of(other_order.clone()));
        assert_ne!(plain, hash_of(json!({ "metadata": { "labels": { "a": "1", "b": "2" } }, "spec": { "x": 2 } })));
        assert_ne!(
            plain,
            hash_of(json!({ "metadata": { "labels": { "a": "1", "b": "2" } }, "spec": { "x": 1, "newer": {} } }))
        );
        assert_ne!(plain, hash(&PodTemplate(other_order), Some(1)));
    }
}
