// Rust's library at work: collections, strings, iterators, traits, panics that are caught, 128-bit integers, files.
// Exit code 21; with an argument it panics (101).
use std::collections::{BTreeMap, BinaryHeap, HashMap, VecDeque};
use std::fmt;
use std::io::{BufRead, Read, Write};
use std::rc::Rc;

struct Numbers(u64);

impl Iterator for Numbers {
    type Item = u64;
    fn next(&mut self) -> Option<u64> {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        Some(self.0)
    }
}

#[derive(Debug, Clone, PartialEq)]
enum Shape {
    Circle { radius: f64 },
    Pane(f64, f64),
    Empty,
}

trait Area {
    fn area(&self) -> f64;
}

impl Area for Shape {
    fn area(&self) -> f64 {
        match self {
            Shape::Circle { radius } => std::f64::consts::PI * radius * radius,
            Shape::Pane(width, height) => width * height,
            Shape::Empty => 0.0,
        }
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, out: &mut fmt::Formatter) -> fmt::Result {
        write!(out, "<{:?} of {:.3}>", self, self.area())
    }
}

struct Dropper(&'static str);
impl Drop for Dropper {
    fn drop(&mut self) {
        println!("drop {}", self.0);
    }
}

fn collections() {
    let mut ordered = BTreeMap::new();
    let mut counts: HashMap<u64, usize> = HashMap::new();
    let mut heap = BinaryHeap::new();
    let mut queue = VecDeque::new();
    for number in Numbers(7).take(3000) {
        *ordered.entry(format!("k{}", number % 97)).or_insert(0u32) += 1;
        *counts.entry(number % 311).or_default() += 1;
        heap.push(number % 100_000);
        if number % 3 == 0 { queue.push_front(number) } else { queue.push_back(number) }
    }
    let mut pairs: Vec<_> = counts.into_iter().collect();
    pairs.sort();
    println!("{} {:?} {:?} {}", ordered.len(), ordered.iter().next(), &pairs[..3], queue[17]);
    println!("{:?}", heap.into_sorted_vec().iter().step_by(700).collect::<Vec<_>>());
    let mut floats: Vec<f64> = Numbers(9).take(500).map(|n| n as f64 / 1e17).collect();
    floats.sort_by(|a, b| b.partial_cmp(a).unwrap());
    println!("{} {} {:e}", floats[0], floats[499], floats.iter().sum::<f64>());
}

fn strings() {
    let text = "Die gläserne Vitrine: 窓 и свет 🪟";
    println!("{} {} {}", text.len(), text.chars().count(), text.to_uppercase());
    println!("{:?}", text.split_whitespace().rev().map(|w| w.chars().rev().collect::<String>()).collect::<Vec<_>>());
    println!("{:>8}|{:<8}|{:^8}|{:+}|{:#x}|{:#010b}|{:08.3}|{:?}", "r", "l", "c", 5, 255, 5, 3.14159, "q\"\n");
    println!("{:?} {:?} {:?}", "12".parse::<i32>(), "x".parse::<i32>().is_err(), "1e-7".parse::<f64>());
    for value in [0.1, 1e21, 1.0 / 3.0, f64::MAX, f64::MIN_POSITIVE, f64::NAN, -0.0] {
        print!("{} {:?} {:e}; ", value, value, value);
    }
    println!();
}

fn wide() {
    let mut digest = 0u128;
    for (a, b) in Numbers(3).zip(Numbers(5)).take(500) {
        let product = (a as u128).wrapping_mul(b as u128);
        digest = digest.rotate_left(7) ^ product ^ (product / (a as u128 % 1000 + 1)) ^ (product % (b as u128 | 1));
        digest ^= (a.leading_zeros() + b.trailing_zeros() + a.count_ones()) as u128;
    }
    println!("{digest:032x} {}", u128::MAX);
    println!("{:?} {:?} {} {}", 250u8.checked_add(10), i32::MIN.overflowing_neg(), 200u8.saturating_add(100), (-7i32).rem_euclid(3));
}

fn panics() {
    let result = std::panic::catch_unwind(|| {
        let _dropper = Dropper("while unwinding");
        let list = vec![1, 2, 3];
        let index = list.len() + 4;
        list[index]
    });
    println!("caught {}", result.is_err());
    let result = std::panic::catch_unwind(|| i32::MAX.checked_add(1).expect("no room"));
    println!("caught {}", result.unwrap_err().downcast_ref::<String>().map_or("static text", |text| text));
}

fn main() {
    // The usual hook names the process, which differs between runs.
    std::panic::set_hook(Box::new(|info| eprintln!("panic at {}: {}", info.location().unwrap(), info)));
    collections();
    strings();
    wide();
    panics();
    let shapes: Vec<Rc<dyn Area>> = vec![Rc::new(Shape::Circle { radius: 2.0 }), Rc::new(Shape::Pane(3.0, 4.5)), Rc::new(Shape::Empty)];
    println!("{:.6} {}", shapes.iter().map(|s| s.area()).sum::<f64>(), Shape::Pane(1.0, 2.0));
    std::fs::write("rust.txt", "one\ntwo\nthree\n").unwrap();
    let file = std::fs::File::open("rust.txt").unwrap();
    println!("{:?}", std::io::BufReader::new(file).lines().map(|l| l.unwrap()).collect::<Vec<_>>());
    println!("{}", std::fs::read("nothing").unwrap_err());
    let mut input = String::new();
    std::io::stdin().read_to_string(&mut input).unwrap();
    println!("read {} bytes, {} lines", input.len(), input.lines().count());
    std::io::stdout().flush().unwrap();
    let _last = Dropper("at the end of main");
    if std::env::args().count() > 1 {
        panic!("asked to panic");
    }
    drop(_last);
    std::process::exit(21);
}
