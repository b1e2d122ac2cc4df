// Names for addresses and addresses for names, from .symtab or, in a stripped file, .dynsym, and of the stubs
// that lead to other files. Read when a report or the disassembler needs it, never for running. Every index that the file holds is checked.
import GuestMemory
import Linux

/// One named place.
public struct ELFSymbol: Sendable {
  public let name: [UInt8]
  /// Address before the load bias is added.
  public let address: UInt64
  /// Bytes; 0 when the file does not say.
  public let size: UInt64
  /// STT_FUNC or STT_GNU_IFUNC.
  public let isFunction: Bool
}

/// The defined symbols of a file, ordered by address.
public struct SymbolTable: Sendable {
  private static let entrySize = 24
  private let symbols: [ELFSymbol]

  public init(_ sections: ELFSections) {
    let table = sections.all.first { $0.type == 2 } ?? sections.all.first { $0.type == 11 }
    guard let table, Int(table.link) < sections.all.count else {
      symbols = []
      return
    }
    let entries = sections.bytes(of: table)
    let names = sections.bytes(of: sections.all[Int(table.link)])
    var found: [ELFSymbol] = []
    found.reserveCapacity(entries.count / SymbolTable.entrySize)
    var start = 0
    while start &+ SymbolTable.entrySize <= entries.count {
      if let symbol = SymbolTable.symbol(entries, start, names) { found.append(symbol) }
      start &+= SymbolTable.entrySize
    }
    found += LinkageStubs.symbols(sections)
    symbols = found.sorted {
      ($0.address, $0.isFunction ? 1 : 0, $0.size) < ($1.address, $1.isFunction ? 1 : 0, $1.size)
    }
  }

  /// These symbols, in any order.
  init(_ symbols: [ELFSymbol]) { self.symbols = symbols.sorted { $0.address < $1.address } }

  /// The same symbols at the addresses where a position-independent program has them.
  public func moved(by bias: UInt64) -> SymbolTable {
    if bias == 0 { return self }
    let moved = symbols.map {
      ELFSymbol(name: $0.name, address: $0.address &+ bias, size: $0.size, isFunction: $0.isFunction)
    }
    return SymbolTable(moved)
  }

  public var isEmpty: Bool { symbols.isEmpty }
  public var all: [ELFSymbol] { symbols }

  /// Functions, objects and untyped labels that are defined in a section and have a name.
  private static func symbol(_ entries: [UInt8], _ start: Int, _ names: [UInt8]) -> ELFSymbol? {
    guard let nameOffset = entries.littleEndian(UInt32.self, at: start),
      let information = entries.littleEndian(UInt8.self, at: start &+ 4),
      let section = entries.littleEndian(UInt16.self, at: start &+ 6),
      let address = entries.littleEndian(UInt64.self, at: start &+ 8),
      let size = entries.littleEndian(UInt64.self, at: start &+ 16)
    else { return nil }
    let type = information & 15
    guard section != 0, section < 0xff00, [0, 1, 2, 10].contains(type) else { return nil }
    let name = names.cString(at: Int(nameOffset))
    return name.isEmpty
      ? nil : ELFSymbol(name: name, address: address, size: size, isFunction: type == 2 || type == 10)
  }

  /// The symbol that contains `address`, else the nearest one before it that does not know its size. Nil when
  /// the address belongs to nobody.
  public func nearest(to address: UInt64) -> ELFSymbol? {
    var low = symbols.partitionPoint { $0.address <= address }
    // A sized symbol further back may contain the address although smaller ones lie between.
    var steps = 0
    var hasPassedSized = false
    while low > 0, steps < 64 {
      low &-= 1
      steps &+= 1
      let candidate = symbols[low]
      let distance = address &- candidate.address
      if candidate.size == 0 ? !hasPassedSized && distance < 1 << 20 : distance < candidate.size {
        return candidate
      }
      if candidate.size != 0 { hasPassedSized = true }
    }
    return nil
  }

  /// The first symbol of this name, a function if there is one.
  public func symbol(named name: [UInt8]) -> ELFSymbol? {
    let matches = symbols.filter { $0.name == name }
    return matches.first { $0.isFunction } ?? matches.first
  }

  /// Where a symbol ends: by its size, else where the next one starts.
  public func end(of symbol: ELFSymbol) -> UInt64? {
    if symbol.size > 0 { return symbol.address &+ symbol.size }
    return symbols.first { $0.address > symbol.address }?.address
  }

  /// `name` or `name+0x12` for `address`, by the symbol that contains `lookup`; nil when there is none.
  public func describe(_ lookup: UInt64, shownAs address: UInt64) -> String? {
    guard let symbol = nearest(to: lookup) else { return nil }
    let name = SymbolName.readable(symbol.name)
    let distance = address &- symbol.address
    return distance == 0 ? name : "\(name)+\(distance.hexadecimal)"
  }
}
