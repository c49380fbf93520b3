//! Every gradient rule against difference quotients of the forward graph, run by ONNX Runtime.
//!
//! For a case y = f(x) the loss is L = Σ r·y with fixed random r. Along random directions d with |d|∞ = 1, the derivative ⟨∇L, d⟩
//! is compared with (8(L(ε) − L(−ε)) − (L(2ε) − L(−2ε)))/12ε, whose truncation error is of order ε⁴. The scale of the
//! comparison is √Σ(gᵢdᵢ)², which does not vanish by cancellation. Where stock ONNX Runtime has f64 kernels for the forward graph,
//! gradients are checked in f64 with ε = 2⁻⁹ to 10⁻⁶, and those in f32 against those in f64; otherwise in f32 with ε = 2⁻⁵ to 2·10⁻³,
//! with L summed in f64. An operator that is written out before differentiation, and has no f64 kernel, is checked to equal that form
//! in f32; the form itself is then checked in f64.

use pipe::autodiff::{differentiate, expand};
use pipe::graph::Target;
use pipe::ir::{Attr, Builder, DType, Graph, OPSET, Tensor, TensorType, ValueId};
use pipe::kernels;
use pipe::native::{Level, Options, Session, probe};
use pipe::ops::case::{Case, Draw, Input};
use pipe::ops::{cases, expansion, expansions, rules};
use pipe::spec::Precision;
use pipe::world::rng::{Key, Rng};

const DIRECTIONS: usize = 3;

/// Elements of one input or gradient.
type Elements = Vec<f64>;

pub(crate) struct Built {
    pub(crate) graph: Graph,
    pub(crate) inputs: Vec<ValueId>,
    pub(crate) output: ValueId,
}

pub(crate) fn build(case: &Case, dtype: DType) -> Built {
    let mut graph = Graph::default();
    graph.opsets.insert(String::new(), OPSET);
    graph.opsets.insert("com.microsoft".to_owned(), 1);
    let inputs: Vec<ValueId> = (0..case.inputs.len())
        .map(|i| graph.add_input(&format!("x{i}"), TensorType::fixed(dtype, case.inputs[i].shape)))
        .collect();
    let output = (case.build)(&mut Builder::new(&mut graph, "case"), &inputs);
    graph.outputs = vec![output];
    Built { graph, inputs, output }
}

/// The case with everything written out that has such a form, and typed.
pub(crate) fn written_out(case: &Case, dtype: DType) -> Result<Built, String> {
    let mut built = build(case, dtype);
    let text = |error: pipe::diag::Diagnostic| format!("{error:?}");
    probe(&mut built.graph, &[]).map_err(text)?;
    while expand(&mut built.graph, built.output, &built.inputs).map_err(|problems| format!("{problems:?}"))? {
        probe(&mut built.graph, &[]).map_err(text)?;
    }
    Ok(built)
}

/// The same graph in f64, from its form in f32.
fn widened(mut built: Built) -> Built {
    let graph = &mut built.graph;
    for tensor in graph.initializers.values_mut() {
        if let Some(narrow) = tensor.to_vec::<f32>() {
            let wide: Vec<f64> = narrow.into_iter().map(f64::from).collect();
            *tensor = Tensor::new(tensor.shape().to_vec(), &wide);
        }
    }
    for input in &built.inputs {
        let shape = graph.shape(*input).unwrap();
        graph.set_type(*input, Some(TensorType::fixed(DType::F64, &shape)));
    }
    for node in graph.nodes.iter_mut().filter(|node| node.op == "Cast") {
        if node.int("to", 0) == DType::F32 as i64 {
            node.attrs.insert("to".to_owned(), Attr::Int(DType::F64 as i64));
        }
    }
    for node in graph.nodes.clone() {
        for output in node.outputs.iter().flatten() {
            graph.set_type(*output, None);
        }
    }
    built
}

/// Whether a case is about an operator that is written out.
fn is_expanded(case: &Case) -> bool {
    build(case, DType::F32)
        .graph
        .nodes
        .iter()
        .any(|node| node.op == case.op && expansion(&node.domain, &node.op).is_some())
}

fn options() -> Options {
    Options { threads: 1, level: Level::Basic, ..Options::default() }
}

fn tensor(dtype: DType, shape: &[usize], elements: &[f64]) -> Tensor {
    match dtype {
        DType::F64 => Tensor::new(shape, elements),
        _ => Tensor::new(shape, &elements.iter().map(|v| *v as f32).collect::<Vec<_>>()),
    }
}

fn elements(tensor: &Tensor) -> Elements {
    tensor.to_vec::<f64>().or_else(|| Some(tensor.to_vec::<f32>()?.into_iter().map(f64::from).collect())).unwrap()
}

fn call(session: &mut Session, dtype: DType, case: &Case, points: &[Elements]) -> Result<Vec<Elements>, String> {
    call_with(session, dtype, case, points, None)
}

fn call_with(
    session: &mut Session,
    dtype: DType,
    case: &Case,
    points: &[Elements],
    more: Option<(&str, Tensor)>,
) -> Result<Vec<Elements>, String> {
    let names: Vec<String> = (0..points.len()).map(|i| format!("x{i}")).collect();
    let feeds: Vec<(&str, Tensor)> = points
        .iter()
        .enumerate()
        .map(|(i, point)| (names[i].as_str(), tensor(dtype, case.inputs[i].shape, point)))
        .chain(more)
        .collect();
    Ok(session.call(&feeds).map_err(|error| format!("{error:?}"))?.iter().map(elements).collect())
}

fn draw(input: &Input, rng: &mut Rng) -> Elements {
    let count: usize = input.shape.iter().product();
    match input.draw {
        Draw::Uniform(low, high) => (0..count).map(|_| rng.range(low, high)).collect(),
        Draw::Away(points) => (0..count)
            .map(|_| {
                loop {
                    let value = rng.range(-2.0, 2.0);
                    if points.iter().all(|point| (value - point).abs() >= 0.1) {
                        break value;
                    }
                }
            })
            .collect(),
        Draw::Apart => {
            let order = rng.permutation(count);
            order.iter().map(|place| (*place as f64 - count as f64 / 2.0).floor() * 0.1 + 0.05).collect()
        }
    }
}

/// Which graph is differentiated.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Form {
    Plain,
    /// As a GPU runs it in these numbers.
    Cuda(Precision),
    /// The nodes that a GPU runs in f32, run on the processor.
    CudaHere,
    /// With reference forms in place of own operators.
    Lowered,
    /// Written out in f32, then run in f64.
    Widened,
}

/// Gradients of Σ r·y with respect to every input, as ONNX Runtime computes them.
pub(crate) fn gradients(
    case: &Case,
    dtype: DType,
    points: &[Elements],
    weights: &Elements,
    form: Form,
) -> Result<Vec<Elements>, String> {
    let mut session = session(case, dtype, weights, form)?;
    let shape = session.inputs().into_iter().find(|(name, _)| name == WEIGHTS).and_then(|(_, ty)| ty);
    let shape: Vec<usize> = shape.iter().flat_map(|(_, dims)| dims).map(|size| *size as usize).collect();
    let given = matches!(form, Form::Cuda(_)).then(|| (WEIGHTS, tensor(dtype, &shape, weights)));
    call_with(&mut session, dtype, case, points, given)
}

/// Name of r where it is an input.
const WEIGHTS: &str = "r";

/// What computes them. On a GPU r is an input, so that gradients are computed when the graph runs.
pub(crate) fn session(case: &Case, dtype: DType, weights: &Elements, form: Form) -> Result<Session, String> {
    let text = |error: pipe::diag::Diagnostic| format!("{error:?}");
    let Built { mut graph, inputs, output } = match form {
        Form::Widened => {
            let mut built = widened(written_out(case, DType::F32)?);
            probe(&mut built.graph, &[]).map_err(text)?;
            built
        }
        _ => written_out(case, dtype)?,
    };
    let shape = graph.shape(output).ok_or("the shape of y is not known")?;
    if shape.iter().product::<usize>() != weights.len() {
        return Err(format!("y has {} elements and the inferred shape {shape:?}", weights.len()));
    }
    let mut b = Builder::new(&mut graph, "loss");
    let weights = match form {
        Form::Cuda(_) => b.graph.add_input(WEIGHTS, TensorType::fixed(dtype, &shape)),
        _ => b.constant(tensor(dtype, &shape, weights)),
    };
    let product = b.mul(output, weights);
    let flat = b.reshape(product, &[-1]);
    let loss = b.reduce_sum(flat, &[0], false);
    probe(&mut graph, &[]).map_err(text)?;
    let made = differentiate(&mut graph, loss, &inputs).map_err(|problems| format!("{problems:?}"))?;
    graph.outputs = made.clone();
    // Own operators take f32: in f64 their reference forms are checked, and the operators against these.
    if form == Form::Lowered || dtype == DType::F64 {
        kernels::lower(&mut graph);
    }
    graph.prune(true);
    let mut options = options();
    if let Form::Cuda(precision) = form {
        let target = Target { device: kernels::Device::Cuda, precision, deterministic: true };
        target.settle(&mut graph).map_err(text)?;
        graph.prune(true);
        options.cuda = target.cuda();
    }
    if form == Form::CudaHere {
        let target = Target { device: kernels::Device::Cuda, ..Target::default() };
        target.settle(&mut graph).map_err(text)?;
        graph.prune(true);
    }
    let session = Session::build(&graph, &options).map_err(|error| format!("{}\n{}", text(error), graph.dump()))?;
    for (i, gradient) in made.iter().enumerate() {
        let known = session.outputs()[i].1.clone();
        let wanted: Vec<i64> = case.inputs[i].shape.iter().map(|size| *size as i64).collect();
        let free = known.as_ref().is_some_and(|(_, dims)| dims.contains(&-1));
        if !free && known != Some((dtype, wanted.clone())) {
            return Err(format!("gradient {} has type {known:?}, wanted {wanted:?}", graph.name(*gradient)));
        }
    }
    Ok(session)
}

/// Points of a case in f32 and weights of its output, or nothing where its graph does not run in f32.
pub(crate) fn points_and_weights(case: &Case) -> Option<(Vec<Elements>, Elements)> {
    let mut rng = Key::new(18).named(case.op).named(case.name).rng();
    let points: Vec<Elements> = case.inputs.iter().map(|input| draw(input, &mut rng)).collect();
    let points: Vec<Elements> = points.iter().map(|p| p.iter().map(|v| f64::from(*v as f32)).collect()).collect();
    let mut session = Session::build(&build(case, DType::F32).graph, &options()).ok()?;
    let y = call(&mut session, DType::F32, case, &points).ok()?;
    let weights = (0..y[0].len()).map(|_| f64::from(rng.range(-1.0, 1.0) as f32)).collect();
    Some((points, weights))
}

/// Gradient of Σ y at one point, for the conventions at kinks.
fn at(emit: fn(&mut Builder, &[ValueId]) -> ValueId, points: &[&[f64]]) -> Vec<Elements> {
    let shapes: Vec<Input> =
        points.iter().map(|point| Input { shape: Vec::leak(vec![point.len()]), draw: Draw::Apart }).collect();
    let case = Case { op: "", name: "", inputs: Vec::leak(shapes), build: emit };
    let points: Vec<Elements> = points.iter().map(|point| point.to_vec()).collect();
    let mut forward = Session::build(&build(&case, DType::F32).graph, &options()).unwrap();
    let count = call(&mut forward, DType::F32, &case, &points).unwrap()[0].len();
    gradients(&case, DType::F32, &points, &vec![1.0; count], Form::Plain).unwrap()
}

/// Compares two numbers on a scale.
fn close(what: &str, made: f64, wanted: f64, scale: f64, tolerance: f64) -> Result<(), String> {
    if (made - wanted).abs() <= tolerance * scale.max(1e-3) {
        Ok(())
    } else {
        Err(format!("{what}: {made} where the difference quotient gives {wanted} (scale {scale})"))
    }
}

/// ONNX Runtime's own kernel gives what the written-out form gives.
fn equals_its_form(case: &Case, points: &[Elements]) -> Result<(), String> {
    let form = written_out(case, DType::F32)?.graph;
    if form.nodes.iter().any(|node| node.op == case.op) {
        return Err("it is not written out".to_owned());
    }
    let [kernel, form] = [build(case, DType::F32).graph, form].map(|graph| {
        let mut session = Session::build(&graph, &options()).map_err(|error| format!("{error:?}"))?;
        call(&mut session, DType::F32, case, points)
    });
    let (kernel, form) = (kernel?, form?);
    let scale = kernel[0].iter().fold(0.0, |most: f64, y| most.max(y.abs()));
    for (i, (made, wanted)) in form[0].iter().zip(&kernel[0]).enumerate() {
        close(&format!("written out, element {i}"), *made, *wanted, scale, 1e-5)?;
    }
    if form[0].len() == kernel[0].len() { Ok(()) } else { Err("it has another shape written out".to_owned()) }
}

fn check(case: &Case) -> Result<DType, String> {
    let mut rng = Key::new(18).named(case.op).named(case.name).rng();
    let points: Vec<Elements> = case.inputs.iter().map(|input| draw(input, &mut rng)).collect();
    let text = |error: pipe::diag::Diagnostic| format!("{error:?}");
    // Some kernels are registered for f64 and then refuse to run.
    let wide = Session::build(&build(case, DType::F64).graph, &options()).ok();
    let wide = wide.and_then(|mut session| call(&mut session, DType::F64, case, &points).ok().map(|_| session));
    let (dtype, form, mut forward) = if let Some(session) = wide {
        (DType::F64, Form::Plain, session)
    } else if is_expanded(case) {
        equals_its_form(case, &points)?;
        // Convolutions have no f64 kernel, whatever is written out around them.
        let wide = widened(written_out(case, DType::F32)?);
        if let Ok(session) = Session::build(&wide.graph, &options()) {
            (DType::F64, Form::Widened, session)
        } else {
            let plain = written_out(case, DType::F32)?;
            (DType::F32, Form::Plain, Session::build(&plain.graph, &options()).map_err(text)?)
        }
    } else {
        let session = Session::build(&build(case, DType::F32).graph, &options());
        (DType::F32, Form::Plain, session.map_err(text)?)
    };
    let (epsilon, tolerance) = if dtype == DType::F64 { (2f64.powi(-9), 1e-6) } else { (2f64.powi(-5), 2e-3) };
    // In f32 the points are those that f32 holds; the steps are powers of two away.
    let points: Vec<Elements> =
        points.iter().map(|point| point.iter().map(|v| f64::from(*v as f32)).collect()).collect();
    let y = call(&mut forward, dtype, case, &points)?;
    let weights: Elements = (0..y[0].len()).map(|_| rng.range(-1.0, 1.0)).map(|v| f64::from(v as f32)).collect();
    let gradient = gradients(case, dtype, &points, &weights, form)?;
    for direction in 0..DIRECTIONS {
        let along: Vec<Elements> = points
            .iter()
            .map(|point| point.iter().map(|_| (rng.range(-1.0, 1.0) * 64.0).round() / 64.0).collect())
            .collect();
        let mut loss = |step: f64| -> Result<f64, String> {
            let moved: Vec<Elements> = points
                .iter()
                .zip(&along)
                .map(|(point, along)| point.iter().zip(along).map(|(x, d)| x + step * d).collect())
                .collect();
            let y = call(&mut forward, dtype, case, &moved)?;
            Ok(y[0].iter().zip(&weights).map(|(y, r)| y * r).sum())
        };
        let near = loss(epsilon)? - loss(-epsilon)?;
        let far = loss(2.0 * epsilon)? - loss(-2.0 * epsilon)?;
        let quotient = (8.0 * near - far) / (12.0 * epsilon);
        let terms = || gradient.iter().flatten().zip(along.iter().flatten()).map(|(g, d)| g * d);
        let scale = terms().map(|term| term * term).sum::<f64>().sqrt();
        close(&format!("direction {direction}"), terms().sum(), quotient, scale, tolerance)?;
    }
    // The same in f32, and with reference forms in place of own operators.
    let forms = [("f32", DType::F32, Form::Plain), ("reference form", dtype, Form::Lowered)];
    for (what, dtype, form) in forms.into_iter().filter(|(_, _, with)| (form, *with) != (Form::Widened, Form::Lowered))
    {
        for (made, wanted) in gradients(case, dtype, &points, &weights, form)?.iter().zip(&gradient) {
            let scale = wanted.iter().fold(0.0, |most: f64, g| most.max(g.abs()));
            for (i, (made, wanted)) in made.iter().zip(wanted).enumerate() {
                close(&format!("{what}, element {i}"), *made, *wanted, scale, 2e-5)?;
            }
        }
    }
    Ok(dtype)
}

#[test]
fn every_rule_agrees_with_difference_quotients() {
    let wanted = pipe::world::env::var("PIPE_CASE").and_then(|name| name.into_string().ok()).unwrap_or_default();
    let mut failures = Vec::new();
    let mut counts = [0, 0];
    for case in cases().iter().filter(|case| case.op.contains(&wanted)) {
        match check(case) {
            Ok(dtype) => counts[usize::from(dtype == DType::F64)] += 1,
            Err(why) => failures.push(format!("{} ({}): {why}", case.op, case.name)),
        }
    }
    assert!(failures.is_empty(), "{} of {} failed\n{}", failures.len(), cases().len(), failures.join("\n"));
    // Guards against a build of ONNX Runtime, or a mistake here, that would quietly move the checks to the coarse tolerance.
    assert!(!wanted.is_empty() || counts[1] > counts[0], "{counts:?}");
}

/// Numbers of what stands for a node on a GPU, without one: its own operators have a form for the processor too.
#[test]
fn the_nodes_of_a_gpu_give_the_same_on_the_processor() {
    let mut failures = Vec::new();
    let mut count = 0;
    for case in cases() {
        let Some((points, weights)) = points_and_weights(&case) else { continue };
        let Ok(wanted) = gradients(&case, DType::F32, &points, &weights, Form::Plain) else { continue };
        count += 1;
        let apart = gradients(&case, DType::F32, &points, &weights, Form::CudaHere).and_then(|made| {
            for (made, wanted) in made.iter().zip(&wanted) {
                let scale = wanted.iter().fold(0.0, |most: f64, g| most.max(g.abs()));
                for (i, (made, wanted)) in made.iter().zip(wanted).enumerate() {
                    close(&format!("element {i}"), *made, *wanted, scale, 2e-5)?;
                }
            }
            Ok(())
        });
        failures.extend(apart.err().map(|why| format!("{} ({}): {why}", case.op, case.name)));
    }
    assert!(failures.is_empty(), "{} of {count} failed\n{}", failures.len(), failures.join("\n"));
    assert!(count > 300, "{count} cases");
}

#[test]
fn every_rule_has_a_case_and_every_case_a_rule() {
    let (rules, cases) = (rules(), cases());
    for rule in &rules {
        let exercised = |case: &&Case| {
            let graph = build(case, DType::F32).graph;
            case.op == rule.op && graph.nodes.iter().any(|node| node.op == rule.op && node.domain == rule.domain)
        };
        assert!(cases.iter().find(exercised).is_some(), "no case for {}::{}", rule.domain, rule.op);
    }
    let expansions = expansions();
    for row in &expansions {
        let exercised = |case: &&Case| {
            let graph = build(case, DType::F32).graph;
            case.op == row.op && graph.nodes.iter().any(|node| node.op == row.op && node.domain == row.domain)
        };
        assert!(cases.iter().find(exercised).is_some(), "no case for {}::{}", row.domain, row.op);
        assert!(!rules.iter().any(|rule| (rule.domain, rule.op) == (row.domain, row.op)), "{} has a rule, too", row.op);
    }
    for case in &cases {
        let known = rules.iter().any(|rule| rule.op == case.op) || expansions.iter().any(|row| row.op == case.op);
        assert!(known, "no rule for the case {} ({})", case.op, case.name);
    }
    for pair in rules.windows(2) {
        assert!((pair[0].domain, pair[0].op) < (pair[1].domain, pair[1].op), "{} twice", pair[1].op);
    }
}

#[test]
fn kinks_follow_torch() {
    let half = at(|b, x| b.op("Max", &[x[0], x[1]]), &[&[1.0, 2.0, 0.0], &[1.0, 1.0, 3.0]]);
    assert_eq!(half, [[0.5, 1.0, 0.0], [0.5, 0.0, 1.0]]);
    let third = at(|b, x| b.op("Min", &[x[0], x[0], x[1]]), &[&[1.0], &[1.0]]);
    assert!((third[0][0] - 2.0 / 3.0).abs() < 1e-6 && (third[1][0] - 1.0 / 3.0).abs() < 1e-6, "{third:?}");
    assert_eq!(at(|b, x| b.relu(x[0]), &[&[0.0, -0.0, 1e-30]])[0], [0.0, 0.0, 1.0]);
    assert_eq!(at(|b, x| b.abs(x[0]), &[&[0.0, -2.0]])[0], [0.0, -1.0]);
    let clip = |b: &mut Builder, x: &[ValueId]| {
        let (low, high) = (b.scalar(DType::F32, -1.0), b.scalar(DType::F32, 1.0));
        b.op("Clip", &[x[0], low, high])
    };
    assert_eq!(at(clip, &[&[-1.0, 1.0, 1.5, -1.5]])[0], [1.0, 1.0, 0.0, 0.0]);
    assert_eq!(at(|b, x| b.op("ReduceMax", x), &[&[2.0, 1.0, 2.0]])[0], [0.5, 0.0, 0.5]);
    assert_eq!(at(|b, x| b.op("ReduceL2", x), &[&[0.0, 0.0]])[0], [0.0, 0.0]);
    assert_eq!(at(|b, x| b.op("ReduceProd", x), &[&[0.0, 2.0, 3.0]])[0], [6.0, 0.0, 0.0]);
    assert_eq!(at(|b, x| b.op("ReduceProd", x), &[&[0.0, 2.0, 0.0]])[0], [0.0, 0.0, 0.0]);
    assert_eq!(at(|b, x| b.pow(x[0], x[1]), &[&[0.0, 0.0], &[0.0, 2.0]]), [[0.0, 0.0], [0.0, 0.0]]);
    let pool = |b: &mut Builder, x: &[ValueId]| {
        let image = b.reshape(x[0], &[1, 1, 4]);
        b.op_with("MaxPool", &[image], &[("kernel_shape", Attr::Ints(vec![2]))])
    };
    // The first of a tie; a maximum of two windows gets both gradients.
    assert_eq!(at(pool, &[&[1.0, 1.0, 0.0, 0.0]])[0], [1.0, 1.0, 1.0, 0.0]);
}
