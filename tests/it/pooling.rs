//! Pooling whose sizes are rounded up: values and gradients are torch's.

use pipe::autodiff::differentiate;
use pipe::ir::{Builder, DType, Graph, OPSET, Tensor, TensorType};
use pipe::native::{Options, Session, probe};
use pipe::parts::Chosen;
use pipe::parts::layers::Layers;

struct Case {
    layer: &'static str,
    config: &'static str,
    shape: &'static [usize],
    value: &'static [f32],
    gradient: &'static [f32],
}

// x = torch.tensor([(i * 7 % 31 - 11) / 4 for i in range(30)]).reshape(1, 1, 5, 6).requires_grad_()
// y = F.max_pool2d(x, kernel, stride, padding, ceil_mode=True), or F.avg_pool2d with count_include_pad
// (0.5 * (y * y).sum()).backward(); y, x.grad
const CASES: &[Case] = &[
    Case {
        layer: "max_pool",
        config: r#"{"kernel": 2, "ceil": true}"#,
        shape: &[3, 3],
        value: &[1.75, 3.5, 4.25, 4.5, 3.0, 4.75, 2.25, 4.0, 1.5],
        gradient: &[
            0.0, 0.0, 0.0, 0.0, 4.25, 0.0, 0.0, 1.75, 3.5, 0.0, 0.0, 0.0, 0.0, 4.5, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0,
            3.0, 4.75, 0.0, 0.0, 2.25, 4.0, 0.0, 0.0, 1.5,
        ],
    },
    Case {
        layer: "max_pool",
        config: r#"{"kernel": 3, "stride": 2, "padding": 1, "ceil": true}"#,
        shape: &[3, 4],
        value: &[1.75, 3.5, 4.25, 1.0, 4.5, 4.5, 4.75, 3.75, 2.25, 4.0, 4.75, 1.5],
        gradient: &[
            0.0, 0.0, 0.0, 0.0, 4.25, 0.0, 0.0, 1.75, 3.5, 0.0, 0.0, 1.0, 0.0, 9.0, 0.0, 0.0, 0.0, 3.75, 0.0, 0.0, 0.0,
            0.0, 9.5, 0.0, 0.0, 2.25, 4.0, 0.0, 0.0, 1.5,
        ],
    },
    Case {
        layer: "max_pool",
        config: r#"{"kernel": [2, 3], "stride": [3, 4], "padding": [1, 0], "ceil": true}"#,
        shape: &[2, 2],
        value: &[0.75, 4.25, 4.5, 4.75],
        gradient: &[
            0.0, 0.0, 0.75, 0.0, 4.25, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 4.5, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0,
            0.0, 4.75, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0,
        ],
    },
    Case {
        layer: "average_pool",
        config: r#"{"kernel": 2, "ceil": true}"#,
        shape: &[3, 3],
        value: &[-0.5, 1.0625, 0.6875, 1.125, 0.75, 2.3125, 1.375, 1.0, 0.625],
        gradient: &[
            -0.125, -0.125, 0.265625, 0.265625, 0.171875, 0.171875, -0.125, -0.125, 0.265625, 0.265625, 0.171875,
            0.171875, 0.28125, 0.28125, 0.1875, 0.1875, 0.578125, 0.578125, 0.28125, 0.28125, 0.1875, 0.1875, 0.578125,
            0.578125, 0.6875, 0.6875, 0.5, 0.5, 0.3125, 0.3125,
        ],
    },
    Case {
        layer: "average_pool",
        config: r#"{"kernel": 3, "stride": 2, "padding": 1, "ceil": true}"#,
        shape: &[3, 4],
        value: &[
            -0.222222224,
            0.555555582,
            0.305555552,
            -0.125,
            0.694444418,
            1.083333373,
            1.138888836,
            0.583333313,
            0.0,
            0.888888896,
            0.638888896,
            0.041666668,
        ],
        gradient: &[
            -0.024691358,
            0.037037041,
            0.061728399,
            0.095679015,
            0.033950616,
            0.013117282,
            0.052469134,
            0.23456791,
            0.182098776,
            0.342592597,
            0.160493821,
            0.236882716,
            0.077160493,
            0.197530866,
            0.120370373,
            0.246913582,
            0.126543209,
            0.223765433,
            0.077160493,
            0.296296299,
            0.219135806,
            0.416666687,
            0.197530866,
            0.301697522,
            0.0,
            0.098765433,
            0.098765433,
            0.16975309,
            0.070987657,
            0.077932104,
        ],
    },
    Case {
        layer: "average_pool",
        config: r#"{"kernel": 3, "stride": 2, "padding": 1, "ceil": true, "count_include_pad": false}"#,
        shape: &[3, 4],
        value: &[
            -0.5,
            0.833333313,
            0.458333343,
            -0.375,
            1.041666627,
            1.083333373,
            1.138888836,
            1.166666627,
            0.0,
            1.333333373,
            0.958333313,
            0.125,
        ],
        gradient: &[
            -0.125,
            0.013888881,
            0.138888881,
            0.215277761,
            0.076388888,
            -0.111111112,
            0.048611104,
            0.307870358,
            0.259259254,
            0.462191343,
            0.20293209,
            0.404320955,
            0.173611104,
            0.293981493,
            0.120370373,
            0.246913582,
            0.126543209,
            0.51543206,
            0.173611104,
            0.516203701,
            0.342592597,
            0.62885803,
            0.286265433,
            0.737654269,
            0.0,
            0.222222224,
            0.222222224,
            0.381944448,
            0.159722224,
            0.222222224,
        ],
    },
    Case {
        layer: "average_pool",
        config: r#"{"kernel": [2, 3], "stride": [3, 4], "padding": [1, 0], "ceil": true}"#,
        shape: &[2, 2],
        value: &[-0.5, 0.625, 0.708333313, 2.3125],
        gradient: &[
            -0.083333336,
            -0.083333336,
            -0.083333336,
            0.0,
            0.15625,
            0.15625,
            0.0,
            0.0,
            0.0,
            0.0,
            0.0,
            0.0,
            0.118055552,
            0.118055552,
            0.118055552,
            0.0,
            0.578125,
            0.578125,
            0.118055552,
            0.118055552,
            0.118055552,
            0.0,
            0.578125,
            0.578125,
            0.0,
            0.0,
            0.0,
            0.0,
            0.0,
            0.0,
        ],
    },
    Case {
        layer: "average_pool",
        config: r#"{"kernel": 4, "stride": 3, "padding": 2, "ceil": true}"#,
        shape: &[3, 3],
        value: &[-0.125, 0.53125, 0.171875, 0.5625, 1.234375, 0.671875, 0.229166672, 0.333333343, 0.104166664],
        gradient: &[
            -0.0078125,
            0.025390625,
            0.033203125,
            0.033203125,
            0.043945312,
            0.010742188,
            0.02734375,
            0.137695312,
            0.110351562,
            0.110351562,
            0.163085938,
            0.052734375,
            0.03515625,
            0.112304688,
            0.077148438,
            0.077148438,
            0.119140625,
            0.041992188,
            0.03515625,
            0.112304688,
            0.077148438,
            0.077148438,
            0.119140625,
            0.041992188,
            0.054253474,
            0.159179688,
            0.104926214,
            0.104926214,
            0.155598953,
            0.050672743,
        ],
    },
];

const INPUT: [usize; 4] = [1, 1, 5, 6];

#[test]
fn values_and_gradients_are_torchs() {
    let x: Vec<f32> = (0..30).map(|i| ((i * 7 % 31) as f32 - 11.0) / 4.0).collect();
    for case in CASES {
        let chosen = Chosen::<Layers>::new(case.layer, serde_json::from_str(case.config).unwrap());
        let layer = chosen.build().unwrap();
        let mut graph = Graph::default();
        graph.opsets.insert(String::new(), OPSET);
        let input = graph.add_input("x", TensorType::fixed(DType::F32, &INPUT));
        let y = layer.build(&mut Builder::new(&mut graph, "pool"), input, &INPUT, &[]).unwrap();
        let expected: Vec<usize> = [1, 1].iter().chain(case.shape).copied().collect();
        assert_eq!(layer.shape(&INPUT).unwrap(), expected, "{}", case.config);
        let mut b = Builder::new(&mut graph, "loss");
        let half = b.scalar(DType::F32, 0.5);
        let square = b.mul(y, y);
        let halved = b.mul(square, half);
        let flat = b.reshape(halved, &[-1]);
        let loss = b.reduce_sum(flat, &[0], false);
        graph.outputs = vec![y, loss];
        probe(&mut graph, &[]).unwrap();
        assert_eq!(graph.shape(y), Some(expected), "{}", case.config);
        let gradient = differentiate(&mut graph, loss, &[input]).unwrap();
        graph.outputs = vec![y, gradient[0]];
        let mut session = Session::build(&graph, &Options { threads: 1, ..Options::default() }).unwrap();
        let found = session.call(&[("x", Tensor::new(INPUT, &x))]).unwrap();
        for (found, expected) in found.iter().zip([case.value, case.gradient]) {
            let found = found.to_vec::<f32>().unwrap();
            assert_eq!(found.len(), expected.len());
            let worst = found.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(worst < 2e-6, "{} {}: off by {worst}\n{found:?}", case.layer, case.config);
        }
    }
}
