//! What a guarded failure of libtorch is, and that the application's panic hook stays its own.

use std::panic::{PanicHookInfo, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex, PoisonError};

use gemma3_tch::guard;
use tch::{Device, Kind, Tensor};

type Hook = Box<dyn Fn(&PanicHookInfo<'_>) + Sync + Send>;

/// Tests here set the hook of the process: one at a time.
static ONE: Mutex<()> = Mutex::new(());

/// A hook that counts panics whose text has `word`, in place of the former one until it is dropped.
struct Counting {
    seen: Arc<AtomicUsize>,
    former: Option<Arc<Hook>>,
}

impl Counting {
    fn set(word: &'static str) -> Self {
        let seen = Arc::new(AtomicUsize::new(0));
        let (counter, former) = (Arc::clone(&seen), Arc::new(std::panic::take_hook()));
        let others = Arc::clone(&former);
        std::panic::set_hook(Box::new(move |info| {
            if info.payload_as_str().is_some_and(|text| text.contains(word)) {
                counter.fetch_add(1, Ordering::SeqCst);
            } else {
                others(info);
            }
        }));
        Self { seen, former: Some(former) }
    }

    fn seen(&self) -> usize {
        self.seen.load(Ordering::SeqCst)
    }
}

impl Drop for Counting {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let former = self.former.take().expect("it is taken here alone");
            std::panic::set_hook(Box::new(move |info| former(info)));
        }
    }
}

fn fail() -> Tensor {
    let a = Tensor::zeros([2, 3], (Kind::Float, Device::Cpu));
    a.matmul(&a)
}

fn panic_with(word: &'static str) {
    let outcome = std::thread::spawn(move || panic!("{word}")).join();
    assert!(outcome.is_err());
}

#[test]
fn a_torch_failure_becomes_an_error_that_says_what_happened() {
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let error = guard("multiplying", fail).unwrap_err();
    assert!(
        error.to_string().ends_with("mat1 and mat2 shapes cannot be multiplied (2x3 and 2x3)"),
        "{error}"
    );
    assert!(error.to_string().starts_with("multiplying: "), "{error}");
    let a = Tensor::zeros([2, 3], (Kind::Float, Device::Cpu));
    assert!(guard("looking", || a.size()).is_ok());
}

#[test]
fn the_applications_hook_is_back_after_a_call_and_sees_no_failure_of_torch() {
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let torch = Counting::set("Torch(\"");
    let own = Counting::set("of the application");
    let nested = guard("outside", || guard("inside", fail).map(drop)).unwrap();
    assert!(nested.is_err() && guard("again", fail).is_err());
    panic_with("of the application, after the call");
    assert_eq!((torch.seen(), own.seen()), (0, 1));
}

#[test]
fn panics_of_other_threads_reach_the_hook_during_a_call() {
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let own = Counting::set("of another thread");
    let (entered, inside) = channel();
    let (leave, left) = channel::<()>();
    let guarded = std::thread::spawn(move || {
        guard("waiting", || {
            entered.send(()).unwrap();
            left.recv().unwrap();
        })
    });
    inside.recv().unwrap();
    panic_with("of another thread");
    assert_eq!(own.seen(), 1);
    // A call that ends while another goes on takes nothing away.
    assert!(guard("beside", fail).is_err());
    panic_with("of another thread");
    assert_eq!(own.seen(), 2);
    leave.send(()).unwrap();
    guarded.join().unwrap().unwrap();
    panic_with("of another thread");
    assert_eq!(own.seen(), 3);
}

#[test]
fn a_hook_that_is_set_during_a_call_stays() {
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let before = Counting::set("before");
    let own = guard("setting a hook", || Counting::set("set meanwhile")).unwrap();
    panic_with("set meanwhile");
    panic_with("before"); // the hook that was set passes on what is not its own
    assert_eq!((own.seen(), before.seen()), (1, 1));
}

#[test]
fn a_mistake_of_the_program_is_passed_on_with_its_message() {
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let own = Counting::set("index out of bounds");
    let numbers = [1, 2, 3];
    let index = std::hint::black_box(7);
    let outcome = catch_unwind(|| guard("counting", || numbers[index]));
    let payload = outcome.expect_err("a panic, not an Error::Torch");
    let text = payload.downcast_ref::<String>().unwrap();
    assert!(text.contains("the len is 3 but the index is 7"), "{text}");
    assert_eq!(own.seen(), 1, "the hook tells it with its place");
}
