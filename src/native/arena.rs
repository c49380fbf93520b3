//! The memory of all sessions: one stretch of addresses, of which the system gives pages when they are first written.
//!
//! ONNX Runtime's own arena takes stretches of doubling size for each session and keeps holes between values in all of them: a step of
//! ResNet-50 at batch 32 took 4.4 GiB with it and takes 3.4 with this one. What one session gives back the next one takes.
//! Where the system does not hand out such a stretch, as under a limit of addresses, sessions keep ONNX Runtime's.

use super::heap::Heap;
use crate::world::{Reserved, env};
use ort::AsPointer;
use ort::environment::Environment;
use ort::memory::{AllocationDevice, AllocatorType, MemoryInfo, MemoryType};
use ort::sys;
use std::ffi::c_void;
use std::sync::{Mutex, PoisonError};

/// Every place starts and ends at a multiple of this, which is more than any vector instruction wants.
const ALIGNMENT: usize = 256;

/// An allocator of ONNX Runtime; the table of functions comes first, so that a pointer to it is one to the whole.
#[repr(C)]
struct Arena {
    functions: sys::OrtAllocator,
    info: MemoryInfo<'static>,
    stretch: Reserved,
    heap: Mutex<Heap>,
}

/// Makes the arena that sessions of an environment may use; whether they can.
pub(super) fn register(environment: &Environment) -> bool {
    // Twice the memory of the machine, since holes take addresses too.
    let Some(stretch) = env::memory().and_then(|(total, _)| Reserved::new(2 * usize::try_from(total).ok()?)) else {
        return false;
    };
    let Ok(info) = MemoryInfo::new(AllocationDevice::CPU, 0, AllocatorType::Device, MemoryType::Default) else {
        return false;
    };
    let heap = Mutex::new(Heap::new(stretch.size()));
    let functions = sys::OrtAllocator {
        version: sys::ORT_API_VERSION,
        Alloc: Some(alloc),
        Free: Some(free),
        Info: Some(info_of),
        Reserve: Some(reserve),
        GetStats: None,
        AllocOnStream: None,
        Shrink: None,
    };
    // It lives as long as the process, as the environment does.
    let arena = Box::leak(Box::new(Arena { functions, info, stretch, heap }));
    #[expect(unsafe_code, reason = "the crate has no function for this")]
    // SAFETY: the environment is a live one; the arena is never freed, its table comes first in it, and its functions may be called from any
    // thread.
    let status = unsafe {
        (ort::api().RegisterAllocator)(
            environment.ptr().cast_mut(),
            std::ptr::from_mut(arena).cast::<sys::OrtAllocator>(),
        )
    };
    status.0.is_null()
}

impl Arena {
    fn take(&self, size: usize) -> *mut c_void {
        let place = || {
            let length = size.max(1).checked_next_multiple_of(ALIGNMENT)?;
            self.heap.lock().unwrap_or_else(PoisonError::into_inner).take(length)
        };
        place().map_or(std::ptr::null_mut(), |start| self.stretch.at(start).cast())
    }

    fn give(&self, pointer: *mut c_void) {
        let start = (pointer as usize).wrapping_sub(self.stretch.at(0) as usize);
        self.heap.lock().unwrap_or_else(PoisonError::into_inner).give(start);
    }
}

#[expect(unsafe_code, reason = "called by ONNX Runtime")]
unsafe extern "system" fn alloc(this: *mut sys::OrtAllocator, size: usize) -> *mut c_void {
    // SAFETY: ONNX Runtime passes the pointer that it was given, which is one to an `Arena` that is never freed.
    unsafe { &*this.cast::<Arena>() }.take(size)
}

#[expect(unsafe_code, reason = "called by ONNX Runtime")]
unsafe extern "system" fn reserve(this: *const sys::OrtAllocator, size: usize) -> *mut c_void {
    // SAFETY: as in `alloc`.
    unsafe { &*this.cast::<Arena>() }.take(size)
}

#[expect(unsafe_code, reason = "called by ONNX Runtime")]
unsafe extern "system" fn free(this: *mut sys::OrtAllocator, pointer: *mut c_void) {
    // SAFETY: as in `alloc`.
    unsafe { &*this.cast::<Arena>() }.give(pointer);
}

#[expect(unsafe_code, reason = "called by ONNX Runtime")]
unsafe extern "system" fn info_of(this: *const sys::OrtAllocator) -> *const sys::OrtMemoryInfo {
    // SAFETY: as in `alloc`.
    unsafe { &*this.cast::<Arena>() }.info.ptr()
}
