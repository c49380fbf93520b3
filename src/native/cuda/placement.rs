//! Which nodes of a session the device does not run.

use crate::diag::Result;
use crate::native::binding::checked;
use crate::native::session::Session;
use ort::sys;
use std::ffi::{CStr, c_char};
use std::{ptr, slice};

/// A node that runs on the processor, its inputs and outputs copied there and back.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fallback {
    /// Its operator, with the domain in front where that is not ONNX's own.
    pub op: String,
    /// Its name.
    pub node: String,
}

/// What ONNX Runtime placed on the processor; the session must have been made for the device.
///
/// # Errors
/// `P0602` when ONNX Runtime does not say.
pub fn fallbacks(session: &Session) -> Result<Vec<Fallback>> {
    let api = ort::api();
    let what = "say what runs where";
    let mut found = Vec::new();
    #[expect(unsafe_code, reason = "the crate has no functions for this")]
    // SAFETY: lists and texts belong to the session, which outlives their use here; the lengths are those that ONNX Runtime gives.
    unsafe {
        let (mut parts, mut count) = (ptr::null::<*const sys::OrtEpAssignedSubgraph>(), 0);
        checked(true, what, (api.Session_GetEpGraphAssignmentInfo)(session.pointer(), &raw mut parts, &raw mut count))?;
        let parts = if count == 0 { &[][..] } else { slice::from_raw_parts(parts, count) };
        for part in parts {
            let mut provider = ptr::null();
            checked(true, what, (api.EpAssignedSubgraph_GetEpName)(*part, &raw mut provider))?;
            if text(provider) != "CPUExecutionProvider" {
                continue;
            }
            let (mut nodes, mut count) = (ptr::null::<*const sys::OrtEpAssignedNode>(), 0);
            checked(true, what, (api.EpAssignedSubgraph_GetNodes)(*part, &raw mut nodes, &raw mut count))?;
            let nodes = if count == 0 { &[][..] } else { slice::from_raw_parts(nodes, count) };
            for node in nodes {
                let (mut name, mut domain, mut op) = (ptr::null(), ptr::null(), ptr::null());
                checked(true, what, (api.EpAssignedNode_GetName)(*node, &raw mut name))?;
                checked(true, what, (api.EpAssignedNode_GetDomain)(*node, &raw mut domain))?;
                checked(true, what, (api.EpAssignedNode_GetOperatorType)(*node, &raw mut op))?;
                let (domain, op) = (text(domain), text(op));
                let op = if domain.is_empty() { op } else { format!("{domain}::{op}") };
                found.push(Fallback { op, node: text(name) });
            }
        }
    }
    found.sort();
    Ok(found)
}

#[expect(unsafe_code, reason = "as above")]
/// # Safety
/// The pointer is null or that of a text.
unsafe fn text(pointer: *const c_char) -> String {
    if pointer.is_null() {
        return String::new();
    }
    // SAFETY: as the caller says.
    unsafe { CStr::from_ptr(pointer) }.to_string_lossy().into_owned()
}
