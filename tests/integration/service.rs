//! Many askers and one model.

use std::ops::ControlFlow;
use std::sync::mpsc::channel;

use integration_tests::Fixture;
use medgemma_explainer::{
    AnswerOptions, Ask, Context, DeviceSpec, DtypeSpec, Error, ExplainOptions, Explainer,
    LoadOptions, ModelSource, Question, Request, Service,
};

use crate::support::{pictures, processor_options};

const ASKERS: usize = 10;

fn service(fixture: &Fixture, length: usize) -> Result<Service, Error> {
    let source = ModelSource::Directory(fixture.model());
    let options = LoadOptions::default()
        .with_device(DeviceSpec::Cpu)
        .with_dtype(DtypeSpec::Float32)
        .with_processor(processor_options(fixture));
    Service::start(move || Explainer::load(&source, &options), length)
}

/// The relevancy of a token of the answer to a question of its own.
fn asked(
    question: Question,
    position: usize,
) -> impl FnOnce(&Request<'_>) -> Result<Vec<f32>, Error> + Send + 'static {
    move |request| {
        let options = AnswerOptions::default().with_max_new_tokens(4).with_stop(false);
        let answer = request.answer(question, &options, &mut |_| ControlFlow::Continue(()))?;
        let asks = [Ask::Position(answer.positions().start + position)];
        let found = request.explain(&answer, &asks, &ExplainOptions::default())?;
        Ok(found.targets[0].relevancy().relevancy().to_vec())
    }
}

/// Ten at once: one goes away, one fails, one has a mistake in it; the others get what they get alone.
#[test]
fn ten_askers_at_once_get_each_their_own() {
    let fixture = Fixture::open("short-window");
    let service = service(&fixture, ASKERS).unwrap();
    let question = |n: usize| Question::new(pictures(&fixture), format!("changed {n}?").as_str());
    let alone: Vec<Vec<f32>> = (0..4)
        .map(|n| service.ask(Context::default(), asked(question(n), n)).unwrap().wait().unwrap())
        .collect();

    // Nothing is done before all have asked.
    let (open, gate) = channel::<()>();
    let held = service.ask(Context::default(), move |_| Ok(gate.recv().is_ok())).unwrap();
    let outcomes: Vec<_> = std::thread::scope(|scope| {
        let askers: Vec<_> = (0..ASKERS)
            .map(|n| {
                let (service, question) = (service.clone(), question(n % 4));
                scope.spawn(move || match n {
                    7 => service.ask(Context::default(), |request| {
                        let nowhere = ModelSource::Directory("nowhere".into());
                        nowhere.inspect(&LoadOptions::default())?;
                        Ok(vec![request.load_time().as_secs_f32()])
                    }),
                    8 => service.ask(Context::default(), |_| panic!("a mistake of the asker")),
                    _ => service.ask(Context::default(), asked(question, n % 4)),
                })
            })
            .collect();
        askers.into_iter().map(|asker| asker.join().unwrap().unwrap()).collect()
    });
    open.send(()).unwrap();
    assert!(held.wait().unwrap());
    let mut outcomes: Vec<Option<_>> = outcomes.into_iter().map(Some).collect();
    drop(outcomes[6].take()); // its asker goes away
    for (n, pending) in outcomes.into_iter().enumerate() {
        let Some(pending) = pending else { continue };
        match n {
            7 => assert!(pending.wait().unwrap_err().to_string().contains("nowhere")),
            8 => {
                let panic =
                    std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| pending.wait()));
                let message = panic.unwrap_err().downcast_ref::<&str>().copied();
                assert_eq!(message, Some("a mistake of the asker"));
            }
            _ => assert_eq!(pending.wait().unwrap(), alone[n % 4], "asker {n}"),
        }
    }
    // The model is still there for the next.
    let after = service.ask(Context::default(), asked(question(0), 0)).unwrap();
    assert_eq!(after.wait().unwrap(), alone[0]);
}

#[test]
fn what_is_cancelled_ends_and_a_full_queue_is_said() {
    let fixture = Fixture::open("short-window");
    let service = service(&fixture, 2).unwrap();
    let (open, gate) = channel::<()>();
    let (begun, has_begun) = channel::<()>();
    let held = service.ask(Context::default(), move |_| {
        begun.send(()).unwrap();
        Ok(gate.recv().is_ok())
    });
    has_begun.recv().unwrap();
    let question = Question::new(pictures(&fixture), "changed?");
    let waiting = service.ask(Context::default(), asked(question.clone(), 0)).unwrap();
    let other = service.ask(Context::default(), asked(question.clone(), 0)).unwrap();
    let full = service.ask(Context::default(), asked(question, 0)).unwrap_err();
    assert!(full.to_string().contains("2 requests wait already"), "{full}");
    waiting.cancel();
    open.send(()).unwrap();
    assert!(held.unwrap().wait().unwrap());
    assert_eq!(waiting.wait().unwrap_err().to_string(), "cancelled");
    assert!(other.wait().is_ok(), "one alone was cancelled");
}

/// Two calls of one explainer, each with a budget of its own: the numbers are the same, and too little is refused to one alone.
#[test]
fn a_call_has_its_own_budget() {
    let fixture = Fixture::open("short-window");
    let service = service(&fixture, 1).unwrap();
    let question = Question::new(pictures(&fixture), "changed?");
    let ask = |memory_budget| {
        let context = Context::default().with_memory_budget(memory_budget);
        service.ask(context, asked(question.clone(), 1)).unwrap().wait()
    };
    let usual = ask(None).unwrap();
    assert!(ask(Some(1000)).unwrap_err().to_string().contains("memory budget of 1000 bytes"));
    assert_eq!(ask(Some(1 << 30)).unwrap(), usual);
}

#[test]
fn a_model_that_cannot_be_loaded_is_no_service() {
    let source = ModelSource::Directory("nowhere".into());
    let load = move || Explainer::load(&source, &LoadOptions::default());
    let error = Service::start(load, 1).unwrap_err().to_string();
    assert!(error.contains("nowhere"), "{error}");
}
