//! The relevancy as the mean of points on the way from the mean cell to the picture, against the retained engine at each point.

use crate::explainer::{load, question};
use crate::support::{keyword, model};
use attention_capture::{
    Engine as _, Foil, Goal, Objective, Retained, Rules, alternatives, forced_scores,
};
use attention_relevancy::{Foils, Target, Update};
use gemma3_tch::{Gemma3, Sequence};
use integration_tests::ndarray::Array1;
use integration_tests::{Fixture, Tolerance, assert_close};
use medgemma_explainer::{
    Ask, DtypeSpec, ErrorKind, ExplainOptions, HeadLayer, Message, Question, Resolution,
};
use tch::{Kind, Tensor};

const TEXT: &str = "No changed pneumonia. yes";

/// The sequence with features that were mixed by arithmetic of its own.
fn at(model: &Gemma3, sequence: &Sequence, share: f64) -> Sequence {
    let mixed = |cells: &Tensor| {
        let rows = Vec::<Vec<f64>>::try_from(cells.to_kind(Kind::Double)).unwrap();
        let mean =
            |column: usize| rows.iter().map(|row| row[column]).sum::<f64>() / rows.len() as f64;
        let means: Vec<f64> = (0..rows[0].len()).map(mean).collect();
        let row = |row: &Vec<f64>| -> Vec<f64> {
            row.iter().zip(&means).map(|(x, mean)| share * x + (1.0 - share) * mean).collect()
        };
        Tensor::from_slice2(&rows.iter().map(row).collect::<Vec<_>>()).to_kind(cells.kind())
    };
    let features = sequence.features().iter().map(mixed).collect();
    model.sequence(sequence.ids().to_vec(), sequence.images().to_vec(), features).unwrap()
}

#[test]
fn the_relevancy_is_the_mean_of_the_points_and_foils_stay_those_of_the_picture() {
    for name in ["short-window", "two-images"] {
        let fixture = Fixture::open(name);
        let explainer = load(&fixture, DtypeSpec::Float32);
        let answer = explainer.given(question(&fixture), TEXT).unwrap();
        let model = model(&fixture);
        let asked = answer.question();
        let prepared = explainer.processor().prepare(&asked.messages, &asked.pictures).unwrap();
        let sequence = model.encode(&prepared).unwrap().followed_by(&answer.generated().tokens);
        let position = prepared.ids.len() + 1;
        let target = Target::new(position, sequence.ids()[position]).unwrap();
        let likely = alternatives(&model, &sequence, &[target], None).unwrap().remove(0);
        let runner_up: Foils =
            forced_scores(&model, &sequence, &[target]).unwrap()[0].runner_up.into();
        for (foil, foils) in [(Foil::Alternatives, likely), (Foil::RunnerUp, runner_up)] {
            let goal = Goal::token(target).with_foils(vec![foils]);
            let rules = Rules::new(Objective::Contrast(foil), Update::Additive);
            let row = |share: f64| -> Array1<f64> {
                let sequence = at(&model, &sequence, share);
                let run = Retained::run(&model, &sequence).unwrap();
                run.explain_one(&goal, &rules).unwrap().relevancy.mapv(f64::from)
            };
            let (whole, two, third) = (row(1.0), row(0.5), [row(2.0 / 3.0), row(1.0 / 3.0)]);
            for (points, expected) in
                [(2, (&whole + &two) / 2.0), (3, (&whole + &third[0] + &third[1]) / 3.0)]
            {
                let options = ExplainOptions::default()
                    .with_objective(Objective::Contrast(foil))
                    .with_path_points(points);
                let ask = [Ask::Position(position)];
                let found = explainer.explain(&answer, &ask, &options).unwrap();
                let found = found.targets[0].relevancy().relevancy();
                assert_close(name, &found.view(), &expected, Tolerance::Rounding);
                // It is neither of the points.
                let apart = (&expected - &whole).mapv(f64::abs).sum() / whole.sum();
                assert!(apart > 1e-2, "{name}: {apart}");
            }
        }
    }
}

#[test]
fn what_has_one_point_is_refused_beside_several() {
    let fixture = Fixture::open("short-window");
    let explainer = load(&fixture, DtypeSpec::Float32);
    let answer = explainer.given(question(&fixture), TEXT).unwrap();
    let two = || ExplainOptions::default().with_path_points(2);
    let text = Question::from_messages(Vec::new(), vec![Message::user(0, "lung")]);
    let of_text = explainer.given(text, TEXT).unwrap();
    for (answer, options, kind) in [
        (&answer, two().with_resolution(Resolution::Patches), ErrorKind::Argument),
        (&answer, two().with_by_layer(true), ErrorKind::Argument),
        (&answer, two().with_by_head(Some(HeadLayer::LastFull)), ErrorKind::Argument),
        (&answer, two().with_path_points(0), ErrorKind::Argument),
        (&answer, two().with_path_points(65), ErrorKind::Argument),
        (&of_text, two(), ErrorKind::Question),
    ] {
        let asks = [keyword("pneumonia", 0)];
        let error = explainer.explain(answer, &asks, &options).unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        let question = answer.question();
        assert_eq!(explainer.check(question, &asks, &options).unwrap_err().kind(), kind);
    }
}
