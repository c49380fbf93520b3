//! What a session gives to the device, recorded once and then given as a whole (a CUDA graph): a step has a thousand kernels, and launching
//! them one by one takes the processor longer than some of them run.

use super::device::{Gpu, failed, gpu};
use crate::diag::Result;
use cudarc::driver::sys::{
    self, CUDA_MEMCPY3D, CUgraph, CUgraphExec, CUgraphInstantiate_flags, CUgraphNode, CUgraphNodeType, CUmemorytype,
    CUpointer_attribute, CUresult, CUstreamCaptureMode,
};
use cudarc::driver::{DriverError, result};
use std::mem::MaybeUninit;
use std::ptr;

/// Recorded work. The memory that it reads and writes must live as long as it is launched.
pub struct Recorded(CUgraphExec);

#[expect(unsafe_code, reason = "a handle that one owner has")]
// SAFETY: the handle belongs to this value alone and may be used from any thread.
unsafe impl Send for Recorded {}

/// Why work cannot be given to the device as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Refusal {
    /// It failed while it was recorded.
    Failed,
    /// Part of it runs on the processor.
    Host,
    /// It copies from or to memory of the host, which is another one the next time.
    HostCopy,
    /// It takes memory of the device while it runs.
    Memory,
    /// It has a part of another kind.
    Other,
}

impl Refusal {
    /// In words that go on after "recorded".
    pub fn words(self) -> &'static str {
        match self {
            Self::Failed => "it fails while it is recorded",
            Self::Host => "part of it runs on the processor",
            Self::HostCopy => "it copies from or to memory of the processor",
            Self::Memory => "it takes memory of the GPU while it runs",
            Self::Other => "a part of it cannot be repeated",
        }
    }
}

impl Recorded {
    /// Records what `work` gives to the stream, without running it, unless that cannot be repeated.
    ///
    /// # Errors
    /// `P0602` when the driver fails.
    pub fn of(work: impl FnOnce() -> Result<()>) -> Result<std::result::Result<Self, Refusal>> {
        let gpu = gpu()?;
        gpu.enter()?;
        gpu.keep_scratch();
        let failed = |error| failed("record a step", error);
        // Memory may be asked for meanwhile; it stays with who asked.
        let mode = CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_RELAXED;
        #[expect(unsafe_code, reason = "calls of the driver")]
        // SAFETY: the stream is never destroyed, and nobody else gives it work meanwhile.
        let recorded = unsafe {
            result::stream::begin_capture(gpu.stream, mode).map_err(failed)?;
            let done = work();
            let graph = result::stream::end_capture(gpu.stream);
            match (done, graph) {
                (Ok(()), Ok(graph)) if !graph.is_null() => graph,
                (_, Ok(graph)) if !graph.is_null() => {
                    let _ = result::graph::destroy(graph);
                    return Ok(Err(Refusal::Failed));
                }
                _ => return Ok(Err(Refusal::Failed)),
            }
        };
        let made = match refusal(recorded).map_err(failed)? {
            None => Self::instantiate(recorded).map(Ok),
            Some(refusal) => Ok(Err(refusal)),
        };
        #[expect(unsafe_code, reason = "a call of the driver")]
        // SAFETY: the graph was made above and is destroyed once; what was instantiated does not need it.
        let destroyed = unsafe { result::graph::destroy(recorded) };
        destroyed.and(made).map_err(failed)
    }

    fn instantiate(graph: CUgraph) -> std::result::Result<Self, DriverError> {
        #[expect(unsafe_code, reason = "a call of the driver")]
        // SAFETY: the graph is alive; 0 asks for nothing special.
        unsafe {
            result::graph::instantiate(graph, CUgraphInstantiate_flags(0)).map(Self)
        }
    }

    /// Gives the work to the stream.
    ///
    /// # Errors
    /// `P0602` when the driver refuses.
    pub fn launch(&self) -> Result<()> {
        let gpu: &Gpu = gpu()?;
        gpu.enter()?;
        #[expect(unsafe_code, reason = "a call of the driver")]
        // SAFETY: the handle is alive, and so is the memory, as the owner promises.
        let launched = unsafe { result::graph::launch(self.0, gpu.stream) };
        launched.map_err(|error| failed("run a step", error))
    }
}

impl Drop for Recorded {
    fn drop(&mut self) {
        #[expect(unsafe_code, reason = "a call of the driver")]
        // SAFETY: the handle is destroyed once; the driver waits with it for what still runs.
        let _ = unsafe { result::graph::exec_destroy(self.0) };
    }
}

/// What of the recorded does not happen on the device, between places on the device that stay where they are.
fn refusal(graph: CUgraph) -> std::result::Result<Option<Refusal>, DriverError> {
    let mut count = 0;
    #[expect(unsafe_code, reason = "calls of the driver")]
    // SAFETY: the graph is alive, and the list has the length that was said.
    let nodes = unsafe {
        sys::cuGraphGetNodes(graph, ptr::null_mut(), &raw mut count).result()?;
        let mut nodes: Vec<CUgraphNode> = vec![ptr::null_mut(); count];
        sys::cuGraphGetNodes(graph, nodes.as_mut_ptr(), &raw mut count).result()?;
        nodes
    };
    for node in nodes {
        let mut kind = MaybeUninit::uninit();
        #[expect(unsafe_code, reason = "a call of the driver")]
        // SAFETY: the node is one of the graph's; the kind is written where the call succeeds.
        let kind = unsafe {
            sys::cuGraphNodeGetType(node, kind.as_mut_ptr()).result()?;
            kind.assume_init()
        };
        let refusal = match kind {
            CUgraphNodeType::CU_GRAPH_NODE_TYPE_KERNEL
            | CUgraphNodeType::CU_GRAPH_NODE_TYPE_MEMSET
            | CUgraphNodeType::CU_GRAPH_NODE_TYPE_EMPTY => None,
            CUgraphNodeType::CU_GRAPH_NODE_TYPE_HOST => Some(Refusal::Host),
            CUgraphNodeType::CU_GRAPH_NODE_TYPE_MEM_ALLOC | CUgraphNodeType::CU_GRAPH_NODE_TYPE_MEM_FREE => {
                Some(Refusal::Memory)
            }
            CUgraphNodeType::CU_GRAPH_NODE_TYPE_MEMCPY => {
                let mut copy = MaybeUninit::<CUDA_MEMCPY3D>::zeroed();
                #[expect(unsafe_code, reason = "a call of the driver")]
                // SAFETY: the node is a copy, of which the driver writes every field.
                let copy = unsafe {
                    sys::cuGraphMemcpyNodeGetParams(node, copy.as_mut_ptr()).result()?;
                    copy.assume_init()
                };
                let stays =
                    on_device(copy.srcMemoryType, copy.srcDevice) && on_device(copy.dstMemoryType, copy.dstDevice);
                (!stays).then_some(Refusal::HostCopy)
            }
            _ => Some(Refusal::Other),
        };
        if refusal.is_some() {
            return Ok(refusal);
        }
    }
    Ok(None)
}

/// Whether an end of a copy lies on the device.
fn on_device(kind: CUmemorytype, address: u64) -> bool {
    match kind {
        CUmemorytype::CU_MEMORYTYPE_DEVICE => true,
        CUmemorytype::CU_MEMORYTYPE_UNIFIED => {
            let mut found = 0u32;
            let asked = CUpointer_attribute::CU_POINTER_ATTRIBUTE_MEMORY_TYPE;
            #[expect(unsafe_code, reason = "a call of the driver")]
            // SAFETY: the attribute is a 32-bit number.
            let status = unsafe { sys::cuPointerGetAttribute((&raw mut found).cast(), asked, address) };
            status == CUresult::CUDA_SUCCESS && found == CUmemorytype::CU_MEMORYTYPE_DEVICE as u32
        }
        _ => false,
    }
}
