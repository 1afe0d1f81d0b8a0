//! Facts of executions that the kernel asks about: whether arguments match regular expressions, and what a file hashes
//! to. The answer is a map entry; the kernel judges by it, and by *perhaps* where there is none.
//!
//! Decides nothing. Regular expressions are answered by the thread that reads the questions, within microseconds; files
//! are read by another one, so that no file holds up a question that is not about it.

mod answer;
mod files;
mod hashing;
mod run;
#[cfg(test)]
mod tests;

pub use run::start;
