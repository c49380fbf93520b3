//! `CountedDropout` against Dropout in training mode.
//!
//! Which elements fall out is drawn otherwise (ONNX's cases draw from NumPy's generator); what is left of the others is the same
//! x/(1 − ratio), and a ratio of 0 changes nothing.

use super::cases;
use pipe::ir::{Attr, Node};
use pipe::kernels::{Arg, OPERATORS};

#[test]
fn what_is_kept_is_what_onnx_keeps() {
    let all = cases("dropout.json");
    assert_eq!(all.len(), 3);
    for (name, case) in all {
        let ratio = case.inputs["r"].data[0];
        let mut node = Node { op: "CountedDropout".to_owned(), ..Node::default() };
        node.attrs.insert("ratio".to_owned(), Attr::Float(ratio as f32));
        let operator = OPERATORS.iter().find(|operator| operator.name == node.op).unwrap();
        let mut kernel = (operator.kernel)(&node).unwrap();
        let (x, expected, mask) = (case.input("x"), case.output("y"), &case.outputs["z"].data);
        let mut met = vec![false; x.len()];
        for key in 0..64 {
            let mut y = vec![f32::NAN; x.len()];
            let inputs = [Arg::F32(&x, &[1, x.len()]), Arg::I64(&[key], &[1])];
            kernel.compute(&inputs, &mut y, &|count, task| (0..count).for_each(task)).unwrap();
            for i in (0..x.len()).filter(|i| mask[*i] == 1.0) {
                assert!(y[i] == 0.0 || y[i] == expected[i], "{name}, {i}: {}, ONNX {}", y[i], expected[i]);
                met[i] |= y[i] != 0.0;
            }
            assert!(ratio > 0.0 || y == expected, "{name}");
        }
        let kept = mask.iter().filter(|kept| **kept == 1.0).count();
        assert!(kept > 0 && met.iter().filter(|met| **met).count() == kept, "{name}");
    }
}
