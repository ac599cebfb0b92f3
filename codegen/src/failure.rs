//! Why a job gave no package.

use crate::diagnostic::Diagnostic;

/// The outcome of a job that failed, by what its caller does next.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Failure {
    /// The contract is at fault: its author must change it.
    #[error("the contract is not valid: {}", told(.0))]
    Contract(Vec<Diagnostic>),
    /// The pack or one of its templates is at fault.
    #[error("the template failed: {}", told(.0))]
    Template(Vec<Diagnostic>),
    /// What the templates made is not what it should be: Python that does not parse, a name that nothing defines.
    #[error("the output is not valid: {}", told(.0))]
    Output(Vec<Diagnostic>),
    /// A template did more than it may.
    #[error("a limit is exceeded: {0}")]
    Limit(Diagnostic),
    /// The job's time was up. It may be tried again.
    #[error("the time for the job was up")]
    Timeout,
}

impl Failure {
    /// The cause as metrics and events spell it.
    pub fn cause(&self) -> &'static str {
        match self {
            Self::Contract(_) => "contract",
            Self::Template(_) => "template",
            Self::Output(_) => "output",
            Self::Limit(_) => "limit",
            Self::Timeout => "timeout",
        }
    }

    /// Every fault that is known; none where the time was up.
    pub fn diagnostics(&self) -> &[Diagnostic] {
        match self {
            Self::Contract(faults) | Self::Template(faults) | Self::Output(faults) => faults,
            Self::Limit(fault) => std::slice::from_ref(fault),
            Self::Timeout => &[],
        }
    }
}

/// The first fault, and how many there are beside it.
fn told(faults: &[Diagnostic]) -> String {
    match faults {
        [] => "no details".to_owned(),
        [fault] => fault.to_string(),
        [fault, rest @ ..] => format!("{fault} (and {} more)", rest.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_tells_its_cause_and_its_first_fault() {
        let fault = |file: &str| Diagnostic::new(file, None, "broken");
        let failure = Failure::Output(vec![fault("a.py"), fault("b.py")]);
        assert_eq!(failure.to_string(), "the output is not valid: a.py: broken (and 1 more)");
        assert_eq!((failure.cause(), failure.diagnostics().len()), ("output", 2));
        assert_eq!((Failure::Timeout.cause(), Failure::Timeout.diagnostics().len()), ("timeout", 0));
    }
}
