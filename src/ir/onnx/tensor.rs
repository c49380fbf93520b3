//! `TensorProto` and `SparseTensorProto` to [`Tensor`] and back. Sizes are compared before anything is allocated.

use super::external::External;
use super::proto::{SparseTensorProto, TensorProto, tensor_proto::DataLocation, tensor_proto::DataType};
use crate::diag::{Code, Diagnostic, Result};
use crate::ir::{DType, Tensor};

/// Largest dense form of a sparse tensor, in bytes: its file says nothing about its size.
const SPARSE_LIMIT: usize = 1 << 28;

fn invalid(name: &str, text: &str) -> Diagnostic {
    Diagnostic::error(Code::ModelInvalid, format!("tensor `{name}` {text}"))
}

/// Checked dimensions and their product.
fn dims_of(name: &str, dims: &[i64]) -> Result<(Vec<usize>, usize)> {
    let mut shape = Vec::with_capacity(dims.len());
    for dim in dims {
        let dim = usize::try_from(*dim).map_err(|_| invalid(name, &format!("has the dimension {dim} in {dims:?}")))?;
        shape.push(dim);
    }
    let count = shape.iter().try_fold(1usize, |n, d| n.checked_mul(*d)).filter(|n| *n <= isize::MAX as usize / 8);
    let count = count.ok_or_else(|| invalid(name, &format!("is too large: {dims:?}")))?;
    // A zero hides absurd neighbours from the product; they would overflow later.
    if shape.iter().filter(|d| **d != 0).try_fold(1usize, |n, d| n.checked_mul(*d)).is_none() {
        return Err(invalid(name, &format!("is too large: {dims:?}")));
    }
    Ok((shape, count))
}

fn dtype_of(name: &str, number: i32) -> Result<DType> {
    if let Some(dtype) = DType::from_onnx(number).filter(|dtype| *dtype != DType::Str) {
        return Ok(dtype);
    }
    match DataType::try_from(number) {
        Ok(DataType::Undefined) | Err(_) => Err(invalid(name, &format!("has the unknown element type {number}"))),
        Ok(kind) => {
            let kind = format!("{kind:?}").to_lowercase();
            Err(Diagnostic::error(Code::NotSupported, format!("tensor `{name}` has elements of type {kind}"))
                .help("constants may be floats (16 to 64 bits, bfloat16), integers (8 to 64 bits) or bool"))
        }
    }
}

/// A tensor, its bytes taken out of the message or read from a file beside the model.
pub(super) fn read(proto: &mut TensorProto, external: &mut External<'_>) -> Result<Tensor> {
    let name = proto.name().to_owned();
    let dtype = dtype_of(&name, proto.data_type())?;
    let (shape, count) = dims_of(&name, &proto.dims)?;
    if proto.segment.is_some() {
        return Err(Diagnostic::error(Code::NotSupported, format!("tensor `{name}` is stored in segments")));
    }
    let need = count * dtype.size();
    let bytes = if proto.data_location() == DataLocation::External {
        external.read(&name, &proto.external_data, need)?
    } else if proto.raw_data.as_ref().is_some_and(|raw| !raw.is_empty()) {
        let mut raw = proto.raw_data.take().unwrap_or_default();
        if raw.len() != need {
            return Err(invalid(&name, &format!("has {} bytes, {dtype}{shape:?} needs {need}", raw.len())));
        }
        raw.shrink_to_fit();
        raw
    } else {
        typed_bytes(&name, dtype, &shape, count, proto)?
    };
    Tensor::from_bytes(dtype, shape, bytes).ok_or_else(|| invalid(&name, "has bytes that do not fit its shape"))
}

fn typed_bytes(name: &str, dtype: DType, shape: &[usize], count: usize, proto: &TensorProto) -> Result<Vec<u8>> {
    let (field, len) = match dtype {
        DType::F32 => ("float_data", proto.float_data.len()),
        DType::F64 => ("double_data", proto.double_data.len()),
        DType::I64 => ("int64_data", proto.int64_data.len()),
        DType::U32 | DType::U64 => ("uint64_data", proto.uint64_data.len()),
        _ => ("int32_data", proto.int32_data.len()),
    };
    if len != count {
        return Err(invalid(name, &format!("has {len} elements in {field}, {dtype}{shape:?} needs {count}")));
    }
    let ints = proto.int32_data.iter();
    Ok(match dtype {
        DType::F32 => proto.float_data.iter().flat_map(|v| v.to_le_bytes()).collect(),
        DType::F64 => proto.double_data.iter().flat_map(|v| v.to_le_bytes()).collect(),
        DType::I64 => proto.int64_data.iter().flat_map(|v| v.to_le_bytes()).collect(),
        DType::U64 => proto.uint64_data.iter().flat_map(|v| v.to_le_bytes()).collect(),
        DType::U32 => proto.uint64_data.iter().flat_map(|v| (*v as u32).to_le_bytes()).collect(),
        DType::I32 => ints.flat_map(|v| v.to_le_bytes()).collect(),
        // Half floats lie in the low 16 bits, as their bits.
        DType::I16 | DType::U16 | DType::F16 | DType::Bf16 => ints.flat_map(|v| (*v as u16).to_le_bytes()).collect(),
        DType::Bool => ints.map(|v| u8::from(*v != 0)).collect(),
        DType::I8 | DType::U8 => ints.map(|v| *v as u8).collect(),
        DType::Str => Vec::new(),
    })
}

/// The dense form of a sparse tensor and its name.
pub(super) fn read_sparse(proto: &mut SparseTensorProto, external: &mut External<'_>) -> Result<(String, Tensor)> {
    let (Some(values), Some(indices)) = (proto.values.as_mut(), proto.indices.as_mut()) else {
        return Err(invalid("", "is sparse and lacks its values or indices"));
    };
    let name = values.name().to_owned();
    let (shape, count) = dims_of(&name, &proto.dims)?;
    let values = read(values, external)?;
    let places = read(indices, external)?;
    let size = values.dtype().size();
    if count.checked_mul(size).is_none_or(|bytes| bytes > SPARSE_LIMIT) {
        return Err(invalid(&name, &format!("is sparse with {shape:?} elements, which is too large")));
    }
    let flat =
        flat_places(&shape, &values, &places).ok_or_else(|| invalid(&name, "has sparse indices out of range"))?;
    let mut bytes = vec![0u8; count * size];
    for (place, value) in flat.into_iter().zip(values.bytes().chunks_exact(size)) {
        bytes[place * size..][..size].copy_from_slice(value);
    }
    let dense = Tensor::from_bytes(values.dtype(), shape, bytes);
    dense.map(|dense| (name.clone(), dense)).ok_or_else(|| invalid(&name, "is not a valid sparse tensor"))
}

/// Flat indices of the values; `None` when one lies outside.
fn flat_places(shape: &[usize], values: &Tensor, places: &Tensor) -> Option<Vec<usize>> {
    let count: usize = shape.iter().product();
    let places_shape = places.shape().to_vec();
    let places: Vec<i64> = places.to_vec()?;
    let within = |index: i64, end: usize| usize::try_from(index).ok().filter(|index| *index < end);
    if places_shape == [values.len()] {
        return places.into_iter().map(|index| within(index, count)).collect();
    }
    if places_shape != [values.len(), shape.len()] || shape.is_empty() {
        return None;
    }
    let rows = places.chunks_exact(shape.len());
    rows.map(|row| row.iter().zip(shape).try_fold(0, |flat, (index, dim)| Some(flat * dim + within(*index, *dim)?)))
        .collect()
}

/// The message of a tensor.
pub(super) fn write(name: &str, tensor: &Tensor) -> TensorProto {
    TensorProto {
        name: (!name.is_empty()).then(|| name.to_owned()),
        dims: tensor.shape().iter().map(|dim| *dim as i64).collect(),
        data_type: Some(tensor.dtype() as i32),
        raw_data: Some(tensor.bytes().to_vec()),
        ..TensorProto::default()
    }
}
