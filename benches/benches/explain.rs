//! The retained engine on the small reference checkpoint: 293 tokens, 7 layers, 4 heads.

use attention_capture::{Engine, Goal, Objective, Retained, Rules};
use attention_relevancy::{Target, Update};
use criterion::{Criterion, criterion_group, criterion_main};
use gemma3_processor::{Message, Picture, PictureOptions, Processor, ProcessorOptions};
use gemma3_tch::{Gemma3, Placement, Sequence};
use std::hint::black_box;
use std::path::Path;

/// Tokens of the made-up answer.
const ANSWER: [u32; 12] = [48; 12];

fn sequence(folder: &Path, model: &Gemma3) -> Sequence {
    let options = ProcessorOptions::default();
    let processor = Processor::from_dir(&folder.join("model"), options).expect("fixture");
    let picture =
        Picture::open(&folder.join("image-0.png"), &PictureOptions::default()).expect("fixture");
    let messages = [Message::user(1, "Where is the opacity in this X-ray?")];
    let prepared = processor.prepare(&messages, &[picture]).expect("fixture");
    model.encode(&prepared).expect("fixture").followed_by(&ANSWER)
}

fn explain(criterion: &mut Criterion) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/layout");
    let model = Gemma3::load(&folder.join("model"), Placement::AS_STORED).expect("fixture");
    let sequence = sequence(&folder, &model);
    let last = sequence.ids().len() - 1;
    let goal = Goal::token(Target::new(last, sequence.ids()[last]).expect("not the first token"));

    let mut group = criterion.benchmark_group("explain");
    group.bench_function("capture", |bencher| {
        bencher.iter(|| black_box(Retained::run(&model, &sequence).expect("captured")));
    });
    let run = Retained::run(&model, &sequence).expect("captured");
    group.bench_function("one target", |bencher| {
        bencher.iter(|| {
            black_box(
                run.explain_one(&goal, &Rules::new(Objective::Logit, Update::Additive))
                    .expect("explained"),
            )
        });
    });
    group.finish();
}

criterion_group!(benches, explain);
criterion_main!(benches);
