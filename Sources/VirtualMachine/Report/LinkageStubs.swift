// Names for the stubs of the procedure linkage table, through which a file calls the functions of others: `memset@plt`. No symbol table
// has them. A stub jumps through a slot of the global offset table, and a relocation says whose address belongs into that slot.
// (System V ABI, AMD64 supplement, section 5.2; the forms with ENDBR64 are those of -fcf-protection.)
import GuestMemory

enum LinkageStubs {
  /// Relocations of data, larger tables of which are not looked through for the few stubs that use them (bytes).
  private static let mostData: UInt64 = 1 << 20
  private static let entrySize = 24
  /// Sections of a kind that are looked at: linkers make four at most, hostile files any number.
  private static let mostSections = 8
  static let mostNeeded = 2 * mostSections
  private static let relocations: UInt32 = 4
  private static let (globalData, jumpSlot): (UInt64, UInt64) = (6, 7)

  /// What has to be read of the file besides its symbol tables.
  static func isNeeded(_ section: ELFSection) -> Bool {
    hasStubs(section) || section.type == relocations && namesSlots(section)
  }

  private static func hasStubs(_ section: ELFSection) -> Bool {
    section.isExecutable && section.name.starts(with: Array(".plt".utf8))
  }

  private static func namesSlots(_ section: ELFSection) -> Bool {
    section.name == Array(".rela.plt".utf8)
      || section.name == Array(".rela.dyn".utf8) && section.size <= mostData
  }

  static func symbols(_ sections: ELFSections) -> [ELFSymbol] {
    let holders = sections.all.lazy.filter(hasStubs).prefix(mostSections)
    if holders.isEmpty { return [] }
    let names = slots(sections)
    return names.isEmpty ? [] : holders.flatMap { stubs(in: $0, sections.bytes(of: $0), names) }
  }

  /// The function that belongs to each slot.
  private static func slots(_ sections: ELFSections) -> [UInt64: [UInt8]] {
    var result: [UInt64: [UInt8]] = [:]
    let tables = sections.all.lazy.filter { $0.type == relocations && namesSlots($0) }
    for section in tables.prefix(mostSections) {
      guard Int(section.link) < sections.all.count else { continue }
      let table = sections.all[Int(section.link)]
      guard Int(table.link) < sections.all.count else { continue }
      let symbols = sections.bytes(of: table)
      let names = sections.bytes(of: sections.all[Int(table.link)])
      let entries = sections.bytes(of: section)
      for start in stride(from: 0, to: entries.count - entrySize + 1, by: entrySize) {
        guard let slot = entries.littleEndian(UInt64.self, at: start),
          let information = entries.littleEndian(UInt64.self, at: start &+ 8),
          [globalData, jumpSlot].contains(information & 0xffff_ffff),
          let name = symbols.littleEndian(
            UInt32.self, at: Int(information >> 32) &* entrySize)
        else { continue }
        let text = names.cString(at: Int(name))
        if !text.isEmpty { result[slot] = text }
      }
    }
    return result
  }

  /// The stubs are where `jmp [rip + displacement]` leads to a slot; in front of it may be ENDBR64 and a prefix.
  private static func stubs(
    in section: ELFSection, _ code: [UInt8], _ names: [UInt64: [UInt8]]
  ) -> [ELFSymbol] {
    let (alignment, longest, jump) = (8, 16, 6)
    var result: [ELFSymbol] = []
    var place = 0
    while place &+ jump <= code.count {
      guard code[place] == 0xff, code[place &+ 1] == 0x25,
        let displacement = code.littleEndian(UInt32.self, at: place &+ 2),
        let name = names[
          section.address &+ UInt64(place &+ jump)
            &+ UInt64(bitPattern: Int64(Int32(bitPattern: displacement)))]
      else {
        place &+= 1
        continue
      }
      let start = place & ~(alignment &- 1)
      let isShort = result.last.map { $0.address &+ UInt64(alignment) == section.address &+ UInt64(start) }
      if isShort ?? false, let last = result.popLast() {
        result.append(
          ELFSymbol(name: last.name, address: last.address, size: UInt64(alignment), isFunction: true))
      }
      result.append(
        ELFSymbol(
          name: name + Array("@plt".utf8), address: section.address &+ UInt64(start),
          size: UInt64(min(longest, code.count &- start)), isFunction: true))
      place &+= jump
    }
    return result
  }
}
