// Swift's library at work without Foundation: strings with all of Unicode, dictionaries, generics, protocols,
// errors, closures, reference counting, floating-point text. Exit code 22; with an argument it traps.
import Glibc

struct Numbers: Sequence, IteratorProtocol {
  var state: UInt64
  mutating func next() -> UInt64? {
    state ^= state << 13
    state ^= state >> 7
    state ^= state << 17
    return state
  }
}

enum Shape: Hashable, CustomStringConvertible {
  case circle(radius: Double)
  case pane(Double, Double)
  indirect case framed(Shape)
  var area: Double {
    switch self {
    case .circle(let radius): .pi * radius * radius
    case .pane(let width, let height): width * height
    case .framed(let inner): inner.area + 1
    }
  }
  var description: String { "shape of \(area)" }
}

enum Failure: Error { case broken(Int), missing(name: String) }

final class Node {
  let name: String
  weak var parent: Node?
  var children: [Node] = []
  init(_ name: String) { self.name = name }
  deinit { print("end of \(name)") }
}

protocol Voice { func speak() -> String }
extension Int: Voice { func speak() -> String { "number \(self)" } }
extension String: Voice { func speak() -> String { "text \(self)" } }

func collections() {
  var counts: [String: Int] = [:]
  var unique = Set<UInt64>()
  for number in Numbers(state: 7).prefix(2000) {
    counts["k\(number % 97)", default: 0] += 1
    unique.insert(number % 500)
  }
  let ranked = counts.sorted { ($0.value, $0.key) > ($1.value, $1.key) }
  let top = ranked.prefix(4).map { "\($0.key)=\($0.value)" }
  print(counts.count, unique.count, top.joined(separator: ","), unique.sorted().suffix(3))
  let values = Numbers(state: 9).prefix(500).map { Double($0 >> 11) / 1e9 }.sorted()
  print(values[0], values[499], values.reduce(0, +))
  let groups = Dictionary(grouping: 1...30, by: { $0 % 7 }).mapValues { $0.reduce(0, +) }
  print(groups.sorted { $0.key < $1.key }.map { "\($0):\($1)" })
  print(zip("abc", 1...).map { "\($0)\($1)" })
  print((1...5).lazy.filter { $0 % 2 == 1 }.map { $0 * $0 }.reversed() as [Int])
}

func strings() {
  let text = "Die gläserne Vitrine 🪟👩‍👩‍👧 é = e\u{301} 窓"
  print(text.count, text.unicodeScalars.count, text.utf8.count, text.utf16.count, text.uppercased())
  print(String(text.reversed()), text.split(separator: " ").map(\.count))
  print("é" == "e\u{301}", text.hasPrefix("Die"))
  print(text.firstIndex(of: "V").map { text[$0...].prefix(7) } ?? "", "\u{1F1E9}\u{1F1EA}".count)
  print(text.contains("serne"))
  print(Int("123") ?? -1, Int("12x") ?? -1, Double("1e-7") ?? 0)
  print(String(255, radix: 16), Int("zz", radix: 36) ?? 0)
  print(0.1, 1e21, 1.0 / 3, Double.greatestFiniteMagnitude, Float(0.1))
  print(Double.nan, -0.0, Double.leastNonzeroMagnitude, Float80(1) / 3)
  print("z".unicodeScalars.map(\.value), Character("ä").isLetter, "ß".uppercased(), ["b", "ä", "a"].sorted())
}

func errors(_ number: Int) throws -> String {
  defer { print("leaving \(number)") }
  switch number {
  case 0: throw Failure.broken(7)
  case 1: throw Failure.missing(name: "pane")
  default: return "fine"
  }
}

func wide() {
  var digest: UInt128 = 0
  for (a, b) in zip(Numbers(state: 3), Numbers(state: 5)).prefix(500) {
    let product = a.multipliedFullWidth(by: b)
    let whole = UInt128(product.high) << 64 | UInt128(product.low)
    digest = (digest << 7 | digest >> 121) ^ whole ^ (whole / UInt128(a % 1000 + 1))
    digest ^= UInt128(a.leadingZeroBitCount + b.nonzeroBitCount)
  }
  print(String(digest, radix: 16), Int8(clamping: 300), UInt8(truncatingIfNeeded: -3), Int32.max &+ 1)
  print(Int.max.addingReportingOverflow(1), (-7).quotientAndRemainder(dividingBy: 2))
  print(1000.0.squareRoot().rounded(.up))
}

func references() {
  let root = Node("root")
  for name in ["left", "right"] {
    let child = Node(name)
    child.parent = root
    root.children.append(child)
  }
  let orphan = root.children.removeFirst()
  print(orphan.parent?.name ?? "none", root.children.count)
  var array = Array(0..<5)
  let copy = array
  array[2] = 99
  print(array, copy, isKnownUniquelyReferenced(&root.children[0]))
}

collections()
strings()
wide()
references()
for number in 0..<3 {
  do { print(try errors(number)) } catch { print("caught \(error)") }
}
let shapes: Set<Shape> = [.circle(radius: 2), .pane(3, 4.5), .framed(.pane(1, 1))]
print(shapes.map(\.area).sorted(), Shape.framed(.circle(radius: 1)))
let voices: [any Voice] = [5, "glass"]
print(voices.map { $0.speak() }, Mirror(reflecting: (a: 1, b: "x")).children.map { $0.label ?? "-" })
if CommandLine.arguments.count > 1 {
  fflush(stdout)
  let none = [Int]()
  print(none[CommandLine.arguments.count])
}
exit(22)
