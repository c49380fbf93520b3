//! Memory of the device, memory of the host that the device reads by itself, and marks on streams.

use super::device::{Gpu, failed, gpu};
use crate::diag::Result;
use cudarc::driver::result;
use cudarc::driver::sys::{CUevent, CUevent_flags, CUevent_wait_flags, CUstream};

/// Memory of the device.
#[derive(Debug)]
pub struct DeviceBuffer {
    address: u64,
    size: usize,
}

impl DeviceBuffer {
    /// Memory of a size above 0, with whatever is in it.
    ///
    /// # Errors
    /// `P0606` when there is not enough.
    pub fn new(size: usize) -> Result<Self> {
        gpu()?.enter()?;
        #[expect(unsafe_code, reason = "a call of the driver")]
        // SAFETY: nothing reads the memory before it is written.
        let address = unsafe { result::malloc_sync(size.max(1)) };
        let address = address.map_err(|error| failed(&format!("hold {} MiB more", size >> 20), error))?;
        Ok(Self { address, size })
    }

    /// Memory of a size, all zeros.
    ///
    /// # Errors
    /// As [`DeviceBuffer::new`].
    pub fn zeros(size: usize) -> Result<Self> {
        let buffer = Self::new(size)?;
        #[expect(unsafe_code, reason = "a call of the driver")]
        // SAFETY: the memory has that size.
        let done = unsafe { result::memset_d8_sync(buffer.address, 0, size) };
        done.map_err(|error| failed("clear memory", error))?;
        Ok(buffer)
    }

    /// Where it lies on the device.
    pub fn address(&self) -> u64 {
        self.address
    }

    /// Bytes.
    pub fn size(&self) -> usize {
        self.size
    }

    /// Writes bytes from a place on, in the order of the stream, and waits for it.
    ///
    /// # Errors
    /// `P0602` when the driver fails.
    pub fn write(&mut self, at: usize, bytes: &[u8]) -> Result<()> {
        let gpu = gpu()?;
        gpu.enter()?;
        assert_inside(at, bytes.len(), self.size)?;
        #[expect(unsafe_code, reason = "a call of the driver")]
        // SAFETY: the range lies inside the memory; the bytes live until the stream is waited for.
        let copied = unsafe { result::memcpy_htod_async(self.address + at as u64, bytes, gpu.stream) };
        copied.map_err(|error| failed("copy to the device", error))?;
        gpu.wait()
    }

    /// Reads bytes from a place on, after everything that the stream was given.
    ///
    /// # Errors
    /// `P0602` when the driver or what ran before failed.
    pub fn read(&self, at: usize, bytes: &mut [u8]) -> Result<()> {
        let gpu = gpu()?;
        gpu.wait()?;
        assert_inside(at, bytes.len(), self.size)?;
        #[expect(unsafe_code, reason = "a call of the driver")]
        // SAFETY: the range lies inside the memory.
        let copied = unsafe { result::memcpy_dtoh_sync(bytes, self.address + at as u64) };
        copied.map_err(|error| failed("copy from the device", error))
    }

    /// Copies a whole staging buffer here, on the stream of copies.
    ///
    /// # Errors
    /// `P0602` when the driver fails.
    pub fn fill(&mut self, from: &Pinned) -> Result<()> {
        let gpu = gpu()?;
        gpu.enter()?;
        let bytes = from.bytes();
        assert_inside(0, bytes.len(), self.size)?;
        #[expect(unsafe_code, reason = "a call of the driver")]
        // SAFETY: the memory is as large as the staging buffer, which whoever writes to it next waits for.
        let copied = unsafe { result::memcpy_htod_async(self.address, bytes, gpu.copies) };
        copied.map_err(|error| failed("copy to the device", error))
    }
}

fn assert_inside(at: usize, length: usize, size: usize) -> Result<()> {
    if at.checked_add(length).is_some_and(|end| end <= size) {
        return Ok(());
    }
    let message = format!("{length} bytes at {at} of {size} bytes on the GPU");
    Err(crate::diag::Diagnostic::error(crate::diag::Code::Internal, message))
}

impl Drop for DeviceBuffer {
    fn drop(&mut self) {
        if gpu().and_then(Gpu::wait).is_ok() {
            #[expect(unsafe_code, reason = "a call of the driver")]
            // SAFETY: the memory was allocated by `new` and nothing that runs uses it.
            let _ = unsafe { result::free_sync(self.address) };
        }
    }
}

/// Memory of the host from which the device copies by itself.
#[derive(Debug)]
pub struct Pinned {
    pointer: *mut u8,
    size: usize,
}

#[expect(unsafe_code, reason = "memory that one owner has")]
// SAFETY: the memory belongs to this value alone.
unsafe impl Send for Pinned {}

impl Pinned {
    /// Memory of a size, all zeros.
    ///
    /// # Errors
    /// `P0606` when there is not enough.
    pub fn new(size: usize) -> Result<Self> {
        gpu()?.enter()?;
        #[expect(unsafe_code, reason = "a call of the driver")]
        // SAFETY: the memory is cleared before anything reads it.
        let pointer = unsafe { result::malloc_host(size.max(1), 0) };
        let pointer = pointer.map_err(|error| failed("take memory for batches", error))?.cast::<u8>();
        let mut this = Self { pointer, size };
        this.bytes_mut().fill(0);
        Ok(this)
    }

    /// Its bytes.
    pub fn bytes(&self) -> &[u8] {
        #[expect(unsafe_code, reason = "memory of the driver")]
        // SAFETY: the memory has that size and is initialised.
        unsafe {
            std::slice::from_raw_parts(self.pointer, self.size)
        }
    }

    /// Its bytes.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        #[expect(unsafe_code, reason = "memory of the driver")]
        // SAFETY: as in `bytes`; any bytes are valid.
        unsafe {
            std::slice::from_raw_parts_mut(self.pointer, self.size)
        }
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        if gpu().and_then(Gpu::wait).is_ok() {
            #[expect(unsafe_code, reason = "a call of the driver")]
            // SAFETY: the memory was allocated by `new`; copies from it are waited for by whoever made them.
            let _ = unsafe { result::free_host(self.pointer.cast()) };
        }
    }
}

/// A mark on a stream.
#[derive(Debug)]
pub struct Event(CUevent);

#[expect(unsafe_code, reason = "a handle that any thread may use")]
// SAFETY: as contexts, events may be used from any thread.
unsafe impl Send for Event {}

impl Event {
    /// A mark that nothing waits for yet.
    ///
    /// # Errors
    /// `P0602` when the driver fails.
    pub fn new() -> Result<Self> {
        gpu()?.enter()?;
        let event = result::event::create(CUevent_flags::CU_EVENT_DISABLE_TIMING);
        event.map(Self).map_err(|error| failed("make a mark", error))
    }

    /// Marks what the compute stream was given so far.
    ///
    /// # Errors
    /// `P0602` when the driver fails.
    pub fn mark_work(&self) -> Result<()> {
        self.mark(gpu()?.stream)
    }

    /// Marks what was given to the stream of copies so far.
    ///
    /// # Errors
    /// `P0602` when the driver fails.
    pub fn mark_copies(&self) -> Result<()> {
        self.mark(gpu()?.copies)
    }

    /// What is given to the compute stream from now on waits for what was marked.
    ///
    /// # Errors
    /// `P0602` when the driver fails.
    pub fn hold_work(&self) -> Result<()> {
        self.hold(gpu()?.stream)
    }

    /// What is given to the stream of copies from now on waits for what was marked.
    ///
    /// # Errors
    /// `P0602` when the driver fails.
    pub fn hold_copies(&self) -> Result<()> {
        self.hold(gpu()?.copies)
    }

    fn mark(&self, stream: CUstream) -> Result<()> {
        gpu()?.enter()?;
        #[expect(unsafe_code, reason = "a call of the driver")]
        // SAFETY: the event and the stream are alive.
        let done = unsafe { result::event::record(self.0, stream) };
        done.map_err(|error| failed("order its streams", error))
    }

    fn hold(&self, stream: CUstream) -> Result<()> {
        gpu()?.enter()?;
        #[expect(unsafe_code, reason = "a call of the driver")]
        // SAFETY: the event and the stream are alive.
        let done = unsafe { result::stream::wait_event(stream, self.0, CUevent_wait_flags::CU_EVENT_WAIT_DEFAULT) };
        done.map_err(|error| failed("order its streams", error))
    }

    /// Waits until what was marked is done.
    ///
    /// # Errors
    /// `P0602` when that failed.
    pub fn wait(&self) -> Result<()> {
        gpu()?.enter()?;
        #[expect(unsafe_code, reason = "a call of the driver")]
        // SAFETY: the event is alive.
        let done = unsafe { result::event::synchronize(self.0) };
        done.map_err(|error| failed("run on the GPU", error))
    }
}

impl Drop for Event {
    fn drop(&mut self) {
        #[expect(unsafe_code, reason = "a call of the driver")]
        // SAFETY: the event was made by `new`; the driver keeps it until what waits for it is done.
        let _ = unsafe { result::event::destroy(self.0) };
    }
}
