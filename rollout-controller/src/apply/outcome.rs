//! What can come out of a write.

use crds::kube::Error;

/// What came out of a write. Texts read as a sentence about what failed.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome<T> {
    /// It is done; this is what the API server answered.
    Applied(T),
    /// The picture was not up to date (conflict, gone, exists): look again.
    LookAgain(String),
    /// The API server will not do it (invalid, forbidden): a person has to change something.
    Refused(String),
    /// No answer or a failure of the server: later.
    Unavailable(String),
}

impl<T> Outcome<T> {
    /// Sorts an answer of the API server.
    pub fn from_answer(verb: &str, kind: &str, answer: Result<T, Error>) -> Self {
        let error = match answer {
            Ok(value) => return Self::Applied(value),
            Err(error) => error,
        };
        match &error {
            Error::Api(status) => {
                let text = format!("failed to {verb} {kind}: {}", status.message);
                match status.code {
                    404 | 409 | 410 => Self::LookAgain(text),
                    408 | 429 | 500.. => Self::Unavailable(text),
                    _ => Self::Refused(text),
                }
            }
            // What was written cannot be read: somebody changed it in between. The watch will say more.
            Error::SerdeError(_) => Self::LookAgain(format!("failed to {verb} {kind}: {error}")),
            _ => Self::Unavailable(format!("failed to {verb} {kind}: {error}")),
        }
    }

    /// The word for metrics.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Applied(_) => "applied",
            Self::LookAgain(_) => "look_again",
            Self::Refused(_) => "refused",
            Self::Unavailable(_) => "unavailable",
        }
    }

    /// The same outcome without the object.
    pub fn map<U>(self, with: impl FnOnce(T) -> U) -> Outcome<U> {
        match self {
            Self::Applied(value) => Outcome::Applied(with(value)),
            Self::LookAgain(text) => Outcome::LookAgain(text),
            Self::Refused(text) => Outcome::Refused(text),
            Self::Unavailable(text) => Outcome::Unavailable(text),
        }
    }
}
