//! What an own operator does on a GPU: which functions of a source text are launched, with what, over how many threads.
//!
//! Sources are CUDA C, compiled for the device at hand when a session first needs them. Work is described and not done here, so that it can
//! be looked at without a GPU. Absence: the driver and ONNX Runtime; `native::cuda` launches.

use super::conv_attributes::ConvAttributes;
use super::geometry::Geometry;
use crate::ir::DType;

/// Threads of a block where nothing asks for another number.
pub const BLOCK: u32 = 256;
/// Blocks of a kernel that walks over its elements in strides: a few for each processor of a large device.
const BLOCKS: usize = 132 * 16;

/// What a kernel is called with.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Argument {
    /// Data of an input.
    Input(usize),
    /// Data of an output.
    Output(usize),
    /// Scratch memory from a byte on.
    Scratch(usize),
    /// A 32-bit integer.
    Int(i32),
    /// A 64-bit integer.
    Long(i64),
    /// A float.
    Float(f32),
    /// A double.
    Double(f64),
}

/// One launch.
#[derive(Debug, Clone, PartialEq)]
pub struct Launch {
    /// CUDA C that holds the function, behind what [`source`] puts in front.
    pub source: &'static str,
    /// Its name.
    pub function: &'static str,
    /// Blocks in three directions.
    pub grid: [u32; 3],
    /// Threads of a block.
    pub block: u32,
    /// Arguments in order.
    pub arguments: Vec<Argument>,
}

impl Launch {
    /// A launch over a row of blocks of [`BLOCK`] threads.
    pub fn new(source: &'static str, function: &'static str, blocks: usize, arguments: Vec<Argument>) -> Self {
        Self::over(source, function, [blocks, 1, 1], arguments)
    }

    /// A launch over a grid of blocks of [`BLOCK`] threads.
    pub fn over(source: &'static str, function: &'static str, grid: [usize; 3], arguments: Vec<Argument>) -> Self {
        let grid = grid.map(|blocks| u32::try_from(blocks.max(1)).unwrap_or(u32::MAX));
        Self { source, function, grid, block: BLOCK, arguments }
    }
}

/// The text of an operator's source for own values of a type, which [`Halves`](super::Halves) lists.
pub fn source(text: &str, float: DType) -> String {
    let real = match float {
        DType::F16 => 16,
        DType::Bf16 => 17,
        _ => 32,
    };
    format!("#define REAL {real}\n{}{text}", include_str!("real.cu"))
}

/// Blocks for a number of elements that are walked over in strides.
pub fn blocks(elements: usize) -> usize {
    elements.div_ceil(BLOCK as usize).clamp(1, BLOCKS)
}

/// A convolution or which gradient of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Itself: inputs are x and w.
    Forward,
    /// Of its input: inputs are dy and w.
    Data,
    /// Of its weights: inputs are x and dy.
    Weights,
}

/// A convolution or a gradient of one, which the vendor's library computes. Spatial lists have one length, at least two.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Convolution {
    /// Which of them.
    pub direction: Direction,
    /// [N, C, spatial…]
    pub x: Vec<i32>,
    /// [M, C/group, kernel…]
    pub w: Vec<i32>,
    /// [N, M, spatial…]
    pub dy: Vec<i32>,
    /// Zeros in front of each spatial dimension, and behind it.
    pub pads: Vec<i32>,
    /// Steps of the kernel.
    pub strides: Vec<i32>,
    /// Distances of its taps.
    pub dilations: Vec<i32>,
    /// Groups of channels.
    pub group: i32,
}

impl Convolution {
    /// From x to dy; `None` where the pads behind differ from those in front so that the library would see another size.
    pub(super) fn new(direction: Direction, attrs: &ConvAttributes, x: &[usize], dy: &[usize]) -> Option<Self> {
        let geometry = Geometry::new(attrs, x, dy).ok()?;
        let fits = (0..attrs.kernel.len()).all(|i| {
            let reach = (attrs.kernel[i] - 1) * attrs.dilations[i] + 1;
            let room = (x[2 + i] + 2 * attrs.begin[i]).checked_sub(reach);
            room.is_some_and(|room| room / attrs.strides[i] + 1 == dy[2 + i])
        });
        if !fits || x.contains(&0) || dy.contains(&0) {
            return None;
        }
        // The library wants two spatial dimensions at least.
        let spatial = |list: [usize; 3]| -> Vec<i32> {
            let from = usize::from(attrs.kernel.len() != 3);
            list[from..].iter().map(|size| *size as i32).collect()
        };
        let shape =
            |first: usize, second: usize, rest: [usize; 3]| [vec![first as i32, second as i32], spatial(rest)].concat();
        Some(Self {
            direction,
            x: shape(geometry.images, geometry.channels, geometry.input),
            w: shape(geometry.outputs, geometry.channels / geometry.group, geometry.kernel),
            dy: shape(geometry.images, geometry.outputs, geometry.output),
            pads: spatial(geometry.begin),
            strides: spatial(geometry.strides),
            dilations: spatial(geometry.dilations),
            group: geometry.group as i32,
        })
    }
}

/// What a node does on a GPU.
#[derive(Debug, Clone, PartialEq)]
pub enum Work {
    /// Launches, one after the other, and bytes of scratch memory.
    Launches(Vec<Launch>, usize),
    /// A convolution or a gradient of one.
    Convolution(Convolution),
    /// None: the output is the first input, and is copied where it does not lie there.
    First,
}

/// A batch of planes that belong to channels, as the kernels of `batch_norm.cu` walk over it.
pub(super) struct Planes {
    images: usize,
    channels: usize,
    plane: usize,
}

impl Planes {
    /// Of a shape [N, C, …].
    pub(super) fn of(shape: &[usize]) -> Result<Self, String> {
        let [images, channels, rest @ ..] = shape else { return Err(format!("[N, C, …], not {shape:?}")) };
        let plane = rest.iter().product();
        let planes = Self { images: *images, channels: *channels, plane };
        if *channels > 65_535 || shape.iter().product::<usize>() >= 1 << 32 {
            return Err(format!("{shape:?}: 65535 channels and 2^32 elements are the most"));
        }
        Ok(planes)
    }

    /// Elements of a channel.
    pub(super) fn count(&self) -> usize {
        self.images * self.plane
    }

    fn step(&self) -> usize {
        if self.plane.is_multiple_of(4) { 4 } else { 1 }
    }

    /// 1 where elements are read four at a time.
    pub(super) fn fours(&self) -> Argument {
        Argument::Int(i32::from(self.step() == 4))
    }

    pub(super) fn channels(&self) -> Argument {
        Argument::Int(self.channels as i32)
    }

    pub(super) fn plane(&self) -> Argument {
        Argument::Int(self.plane as i32)
    }

    /// Elements, or fours of them.
    pub(super) fn elements(&self) -> Argument {
        Argument::Int((self.count() * self.channels / self.step()) as u32 as i32)
    }

    fn split(&self) -> usize {
        // Enough blocks for a large device, each with a few rounds of work.
        let rounds = self.count().div_ceil(self.step() * BLOCK as usize * 4);
        rounds.clamp(1, BLOCKS.div_ceil(self.channels.max(1)))
    }

    /// Parts of a channel.
    pub(super) fn splits(&self) -> Argument {
        Argument::Int(self.split() as i32)
    }

    /// A launch that touches every element once.
    pub(super) fn each(&self, function: &'static str, arguments: Vec<Argument>) -> Launch {
        Launch::new(BATCH_NORM, function, blocks(self.count() * self.channels / self.step()), arguments)
    }

    /// Two sums of each channel: those of its parts from the inputs, then the whole.
    pub(super) fn sums(&self, part: &'static str, inputs: &[Argument], whole: &'static str, rest: &[Argument]) -> Work {
        let scratch = Argument::Scratch(0);
        let sizes = [Argument::Int(self.images as i32), self.channels(), self.plane(), self.fours()];
        let launches = vec![
            Launch::over(BATCH_NORM, part, [self.split(), self.channels, 1], [inputs, &[scratch], &sizes].concat()),
            Launch::new(BATCH_NORM, whole, self.channels.div_ceil(BLOCK as usize), [&[scratch], rest].concat()),
        ];
        Work::Launches(launches, self.channels * self.split() * 16)
    }
}

const BATCH_NORM: &str = concat!(include_str!("sums.cu"), include_str!("batch_norm.cu"));

/// The optimizer, without its rule, which stands in front.
pub const UPDATE: &str = concat!(include_str!("sums.cu"), include_str!("update.cu"));
