use super::model::Handout;
use super::*;

fn now() -> Instant {
    Instant::now()
}

fn filled(count: u64) -> (Slots<u64>, Door<u64>) {
    let (slots, mut door) = (Slots::new(64, 3), Door::new());
    (0..count).for_each(|number| assert_eq!(door.push(number, now()), Ok(number == 0), "the first one wakes"));
    (slots, door)
}

#[test]
fn a_second_acknowledgement_and_one_after_the_return_are_refused() {
    let (mut slots, mut door) = filled(1);
    let consumer = slots.join();
    let first = slots.take_one(&mut door, consumer, now()).unwrap();
    slots.begin(consumer);
    assert!(matches!(slots.give_back(first.slot, first.delivery, now()), Fate::Returned { attempt: 2 }));
    let second = slots.take_one(&mut door, consumer, now()).unwrap();
    assert_eq!(second.slot, first.slot, "the slot is used again, under another delivery number");
    assert!(!slots.settle(first.slot, first.delivery));
    assert!(slots.settle(second.slot, second.delivery));
    assert!(!slots.settle(second.slot, second.delivery));
    assert_eq!(slots.totals.refused, 2);
}

#[test]
fn suspects_come_first_in_order_and_alone() {
    let (mut slots, mut door) = filled(5);
    let (one, two) = (slots.join(), slots.join());
    let held: Vec<_> = (0..3).map(|_| slots.take_one(&mut door, one, now()).unwrap()).collect();
    let other = slots.take_one(&mut door, two, now()).unwrap();
    slots.begin(one);
    for handout in &held {
        slots.give_back(handout.slot, handout.delivery, now());
    }
    assert!(
        slots.take_one(&mut door, two, now()).is_none(),
        "hands that are not empty get no suspect, and nothing overtakes it"
    );
    slots.settle(other.slot, other.delivery);
    for expected in 0..3 {
        let handout = slots.take_one(&mut door, two, now()).unwrap();
        assert_eq!((handout.sequence, handout.attempt, handout.alone), (expected, 1, true), "nobody was charged");
        slots.settle(handout.slot, handout.delivery);
    }
    assert_eq!(slots.take_one(&mut door, two, now()).unwrap().sequence, 4);
}

#[test]
fn what_was_not_begun_comes_back_without_blame_and_in_company() {
    let (mut slots, mut door) = filled(2);
    let (one, two) = (slots.join(), slots.join());
    for handout in [slots.take_one(&mut door, one, now()).unwrap(), slots.take_one(&mut door, one, now()).unwrap()] {
        assert!(matches!(slots.give_back(handout.slot, handout.delivery, now()), Fate::Released));
    }
    let again = [slots.take_one(&mut door, two, now()).unwrap(), slots.take_one(&mut door, two, now()).unwrap()];
    assert_eq!(again.map(|handout| (handout.sequence, handout.attempt, handout.alone)), [(0, 1, false), (1, 1, false)]);
}

/// Random consumers take, acknowledge, fail, release and leave; the books must balance after every step.
#[test]
fn nothing_is_lost_or_done_twice_whatever_the_order() {
    for seed in 0..300 {
        let mut random = fastrand::Rng::with_seed(seed);
        let (mut slots, mut door) = filled(0);
        let mut consumers: Vec<(usize, Vec<Handout<u64>>)> = (0..3).map(|_| (slots.join(), Vec::new())).collect();
        let mut ended = BTreeMap::<u64, u32>::new();
        let mut pushed = 0;
        for _ in 0..400 {
            let at = random.usize(0..consumers.len());
            match random.u32(0..10) {
                0..3 => {
                    door.push(pushed, now()).unwrap();
                    pushed += 1;
                }
                3..6 => {
                    let (id, held) = &mut consumers[at];
                    if let Some(handout) = slots.take_one(&mut door, *id, now()) {
                        assert!(!handout.alone || held.is_empty());
                        held.push(handout);
                    }
                }
                6..8 => {
                    if let Some(handout) = consumers[at].1.pop() {
                        assert!(slots.settle(handout.slot, handout.delivery));
                        *ended.entry(*handout.message).or_default() += 1;
                    }
                }
                _ => {
                    // The whole actor fails, or is stopped, and another one takes its place.
                    let (id, held) = std::mem::take(&mut consumers[at]);
                    if random.bool() {
                        slots.begin(id);
                    }
                    // Its own end and that of what it holds come in either order.
                    let leaves_first = random.bool();
                    if leaves_first {
                        slots.leave(id);
                    }
                    for handout in held {
                        if matches!(slots.give_back(handout.slot, handout.delivery, now()), Fate::Unburied) {
                            *ended.entry(*handout.message).or_default() += 1;
                        }
                    }
                    if !leaves_first {
                        slots.leave(id);
                    }
                    consumers[at] = (slots.join(), Vec::new());
                }
            }
            let totals = slots.totals;
            let arrived = door.arrived.len();
            assert_eq!(slots.accepted() + arrived as u64, pushed);
            let open = (arrived + slots.depth() + slots.in_flight()) as u64;
            assert_eq!(pushed, totals.acknowledged + totals.buried + open, "seed {seed}");
            assert_eq!(ended.len() as u64, totals.acknowledged + totals.buried, "seed {seed}");
        }
        assert!(ended.values().all(|&times| times == 1), "seed {seed}: done twice");
    }
}
