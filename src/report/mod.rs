//! Events folded into terminal and files.
