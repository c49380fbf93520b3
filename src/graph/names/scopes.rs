//! The module path of a node, from what exporters leave behind.
//!
//! - torch's dynamo exporter writes metadata: `pkg.torch.onnx.name_scopes` = `['', 'layer1', 'layer1.0', 'layer1.0.conv1', 'conv2d']`, whose
//!   last entry is the operation itself, or `namespace` = `: Net/layer1: Sequential/layer1.0: Block/conv2d: aten.conv2d`.
//! - torch's legacy exporter writes node names: `/layer1/layer1.0/conv1/Conv`, where a child of a container repeats the container.

use crate::ir::Node;

/// The dotted path of the module that a node belongs to, such as `layer1.0.conv1`; `None` when nothing tells or for the root.
pub fn module_path(node: &Node) -> Option<String> {
    let path = from_scopes(node).or_else(|| from_namespace(node)).or_else(|| from_name(&node.name))?;
    (!path.is_empty()).then_some(path)
}

fn from_scopes(node: &Node) -> Option<String> {
    let scopes = quoted(node.metadata.get("pkg.torch.onnx.name_scopes")?);
    scopes.len().checked_sub(2).map(|inner| scopes[inner].clone())
}

fn from_namespace(node: &Node) -> Option<String> {
    let text = node.metadata.get("namespace").or_else(|| node.metadata.get("pkg.torch.onnx.namespace"))?;
    let scopes: Vec<&str> = text.split('/').map(|scope| scope.split(':').next().unwrap_or("").trim()).collect();
    scopes.len().checked_sub(2).map(|inner| scopes[inner].to_owned())
}

/// The quoted entries of a list as Python or JSON prints it.
fn quoted(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(start) = rest.find(['\'', '"']) {
        let quote = if rest[start..].starts_with('\'') { '\'' } else { '"' };
        let inner = &rest[start + 1..];
        let Some(end) = inner.find(quote) else { break };
        found.push(inner[..end].to_owned());
        rest = &inner[end + 1..];
    }
    found
}

fn from_name(name: &str) -> Option<String> {
    let mut segments: Vec<&str> = name.strip_prefix('/')?.split('/').filter(|segment| !segment.is_empty()).collect();
    segments.pop()?;
    let mut path: Vec<&str> = Vec::new();
    for segment in segments {
        let repeats =
            path.last().is_some_and(|last| segment.strip_prefix(last).is_some_and(|rest| rest.starts_with('.')));
        if repeats {
            path.pop();
        }
        path.push(segment);
    }
    Some(path.join("."))
}

/// Whether a name was made up by an exporter: `onnx::Conv_193`, `val_21`, `193`, `/encoder/Constant_2_output_0`.
pub fn is_generated(name: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let numbered =
        ["val_", "_val_", "const_", "initializer_", "t_", "x_", "tensor_", "lifted_tensor_", "_tensor_constant"];
    digits(name)
        || name.contains("::")
        || numbered.iter().any(|prefix| name.strip_prefix(prefix).is_some_and(digits))
        || name.starts_with("const_fold_opt__")
        || is_literal(name)
}

/// Whether a name is that of a literal in the source's code, which no exporter gives to a parameter: `/gn/Constant_2_output_0`,
/// `model/Const:0`, `gelu/const_half`. Weights that tf2onnx folded (`const_fold_opt__12`) are none.
pub(super) fn is_literal(name: &str) -> bool {
    let tail = name.rsplit('/').next().unwrap_or(name);
    let rest = ["Constant", "constant", "Const", "const"].iter().find_map(|word| tail.strip_prefix(word));
    let ends = |rest: &str| rest.chars().next().is_none_or(|next| !next.is_alphabetic());
    rest.is_some_and(ends) && !tail.starts_with("const_fold_opt")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str, metadata: &[(&str, &str)]) -> Node {
        let metadata = metadata.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        Node { name: name.to_owned(), metadata, ..Node::default() }
    }

    #[test]
    fn paths_come_from_names_and_metadata() {
        let cases = [
            ("/layer1/layer1.0/conv1/Conv", Some("layer1.0.conv1")),
            ("/layer2/layer2.0/downsample/downsample.0/Conv", Some("layer2.0.downsample.0")),
            ("/encoder/layer.0/attention/self/query/MatMul", Some("encoder.layer.0.attention.self.query")),
            ("/features/features.10/Conv_1", Some("features.10")),
            ("/fc/Gemm", Some("fc")),
            ("/Flatten", None),
            ("Conv_0", None),
            ("", None),
        ];
        for (name, path) in cases {
            assert_eq!(module_path(&node(name, &[])).as_deref(), path, "{name}");
        }
        let scopes = [("pkg.torch.onnx.name_scopes", "['', 'layer1', 'layer1.0', 'layer1.0.conv1', 'conv2d']")];
        assert_eq!(module_path(&node("node_conv2d", &scopes)).as_deref(), Some("layer1.0.conv1"));
        let scopes = [("namespace", ": models.ResNet/layer1: Sequential/layer1.0: Block/conv2d: aten.conv2d.default")];
        assert_eq!(module_path(&node("node_conv2d", &scopes)).as_deref(), Some("layer1.0"));
        assert_eq!(module_path(&node("n", &[("pkg.torch.onnx.name_scopes", "['', 'add']")])), None);
        assert_eq!(module_path(&node("n", &[("pkg.torch.onnx.name_scopes", "['broken")])), None);
    }

    #[test]
    fn generated_names_are_told_apart() {
        for name in [
            "onnx::Conv_193",
            "val_21",
            "193",
            "/encoder/Constant_2_output_0",
            "Constant_output_0",
            "gelu/const_half",
            "a/const~7",
        ] {
            assert!(is_generated(name), "{name}");
        }
        for name in
            ["fc.weight", "layer1.0.bn1.bias", "conv1_w_0", "val", "w1", "embeddings.Constant", "constants.weight"]
        {
            assert!(!is_generated(name), "{name}");
        }
    }
}
