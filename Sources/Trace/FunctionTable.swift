// Names for code: each function that was executed has a number, and a name and object that stay when it is unmapped. What belongs to no
// symbol is named after where it was entered. Owns the numbers.
import GuestMemory
import VirtualMachine

/// A function, by its place in the guest.
struct TracedFunction {
  var address: UInt64
  var name: String
  /// Index of its object.
  var object: Int
}

/// A file, or none, that functions belong to.
struct TracedObject {
  var path: String
  /// What the guest's addresses are less of in the file.
  var bias: UInt64
  /// With its symbols and source lines; nil: no file.
  var loaded: LoadedObject?
}

final class FunctionTable {
  private let objects: LoadedObjects
  private(set) var functions: [TracedFunction] = []
  private(set) var files: [TracedObject] = [TracedObject(path: "", bias: 0)]
  private var numbers: [Key: Int] = [:]
  private var fileNumbers: [Key: Int] = [:]
  /// Functions by an address inside; forgotten when mappings change.
  private var byAddress: [UInt64: Found] = [:]
  private var isStale = true

  private struct Key: Hashable {
    var address: UInt64
    var name: String
  }

  /// What is known of an address.
  struct Found {
    var function: Int
    /// The address is that of the symbol, or there is none.
    var isStart: Bool
    var isNamed: Bool
    var object: Int
  }

  init(_ objects: LoadedObjects) { self.objects = objects }

  /// What is mapped may be different now.
  func mappingsChanged() {
    isStale = true
    byAddress.removeAll(keepingCapacity: true)
  }

  private func refresh() {
    if !isStale { return }
    objects.refresh()
    isStale = false
  }

  private func number(of object: LoadedObject?) -> Int {
    guard let object else { return 0 }
    let path = String(decoding: object.path, as: UTF8.self)
    let key = Key(address: object.loadBias, name: path)
    if let known = fileNumbers[key] { return known }
    files.append(TracedObject(path: path, bias: object.loadBias, loaded: object))
    fileNumbers[key] = files.count - 1
    return files.count - 1
  }

  /// The function that `address` belongs to, or begins.
  func find(_ address: UInt64) -> Found {
    if let known = byAddress[address] { return known }
    refresh()
    let object = objects.object(at: address)
    let file = number(of: object)
    var found = Found(function: 0, isStart: true, isNamed: false, object: file)
    if let object, let symbol = object.symbols.nearest(to: address) {
      let (start, name) = whole(symbol.address, LoadedObjects.readable(symbol), object)
      found.function = number(start, name, file)
      found.isStart = address == start
      found.isNamed = true
    } else {
      let name = "0x" + String(address &- files[file].bias, radix: 16)
      found.function = number(address, name, file)
    }
    byAddress[address] = found
    return found
  }

  /// Compilers put code that is seldom needed elsewhere: `main.cold` is a part of `main`.
  private func whole(_ address: UInt64, _ name: String, _ object: LoadedObject) -> (UInt64, String) {
    let bytes = Array(name.utf8)
    let mark = Array(".cold".utf8)
    guard bytes.count > mark.count,
      let place = bytes.indices.first(where: { bytes[$0...].starts(with: mark) }), place > 0,
      let main = object.symbols.symbol(named: Array(bytes[..<place]))
    else { return (address, name) }
    return (main.address, LoadedObjects.readable(main))
  }

  private func number(_ address: UInt64, _ name: String, _ file: Int) -> Int {
    let key = Key(address: address, name: name)
    if let known = numbers[key] { return known }
    functions.append(TracedFunction(address: address, name: name, object: file))
    numbers[key] = functions.count - 1
    return functions.count - 1
  }

  /// The symbol that `address` belongs to, and its object.
  func symbol(_ address: UInt64) -> (function: Int?, object: Int) {
    refresh()
    let object = objects.object(at: address)
    let isNamed = object?.symbols.nearest(to: address) != nil
    return (isNamed ? find(address).function : nil, number(of: object))
  }

  /// `name+0x12` for `address`, or an empty string.
  func describe(_ address: UInt64) -> String {
    refresh()
    return objects.describe(address) ?? ""
  }

  /// The guest's addresses that a name stands for: all functions of this name, and objects, in what is mapped now; of a function that is
  /// only inlined, its copies.
  func ranges(named name: [UInt8]) -> [Range<UInt64>] {
    refresh()
    var result: [Range<UInt64>] = []
    for object in objects.all {
      if let symbol = object.symbols.symbol(named: name), let end = object.symbols.end(of: symbol),
        end > symbol.address
      {
        result.append(symbol.address..<end)
      } else {
        result += object.places(named: name).flatMap(\.ranges)
      }
    }
    return result
  }
}
