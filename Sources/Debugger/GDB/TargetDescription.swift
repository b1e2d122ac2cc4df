// The target description (gdb manual, appendix G): what registers there are, as XML. The main document names one annex for each
// feature.

/// Makes the documents.
struct TargetDescription {
  let registers: RegisterFile

  /// The document named `annex`; nil when there is none.
  func document(_ annex: String) -> String? {
    if annex == "target.xml" { return main }
    var first = 0
    for feature in registers.features {
      if annex == TargetDescription.fileName(feature) { return document(feature, first: first) }
      first += feature.registers.count
    }
    return nil
  }

  private static func fileName(_ feature: RegisterFeature) -> String {
    (feature.name.split(separator: ".").last.map(String.init) ?? feature.name) + ".xml"
  }

  private static let head = "<?xml version=\"1.0\"?>\n"

  private var main: String {
    var text = TargetDescription.head + "<!DOCTYPE target SYSTEM \"gdb-target.dtd\">\n"
    text += "<target version=\"1.0\">\n  <architecture>i386:x86-64</architecture>\n"
    text += "  <osabi>GNU/Linux</osabi>\n"
    for feature in registers.features {
      text += "  <xi:include href=\"\(TargetDescription.fileName(feature))\"/>\n"
    }
    return text + "</target>\n"
  }

  private func document(_ feature: RegisterFeature, first: Int) -> String {
    var text = TargetDescription.head + "<!DOCTYPE feature SYSTEM \"gdb-target.dtd\">\n"
    text += "<feature name=\"\(feature.name)\">\n" + TargetDescription.types(feature)
    for (index, register) in feature.registers.enumerated() {
      text += "  <reg name=\"\(register.name)\" bitsize=\"\(register.size * 8)\" type=\"\(register.type)\""
      text += " regnum=\"\(first + index)\"" + TargetDescription.group(register) + "/>\n"
    }
    return text + "</feature>\n"
  }

  private static func group(_ register: RegisterDescription) -> String {
    switch register.place {
    case .x87Control: " group=\"float\""
    case .originalRAX: " group=\"system\""
    case .mxcsr: " group=\"vector\""
    default: ""
    }
  }

  // MARK: Types

  private static func types(_ feature: RegisterFeature) -> String {
    switch feature.name {
    case "org.gnu.gdb.i386.core": flags("i386_eflags", eflags)
    case "org.gnu.gdb.i386.sse": vectorTypes + flags("i386_mxcsr", mxcsr)
    case "org.gnu.gdb.i386.avx512": vectorTypes + "  <vector id=\"v2ui128\" type=\"uint128\" count=\"2\"/>\n"
    default: ""
    }
  }

  private static let eflags: [(String, Int)] = [
    ("CF", 0), ("", 1), ("PF", 2), ("AF", 4), ("ZF", 6), ("SF", 7), ("TF", 8), ("IF", 9), ("DF", 10),
    ("OF", 11), ("NT", 14), ("RF", 16), ("VM", 17), ("AC", 18), ("VIF", 19), ("VIP", 20), ("ID", 21),
  ]

  private static let mxcsr: [(String, Int)] = [
    ("IE", 0), ("DE", 1), ("ZE", 2), ("OE", 3), ("UE", 4), ("PE", 5), ("DAZ", 6), ("IM", 7), ("DM", 8),
    ("ZM", 9), ("OM", 10), ("UM", 11), ("PM", 12), ("FZ", 15),
  ]

  private static func flags(_ name: String, _ bits: [(String, Int)]) -> String {
    var text = "  <flags id=\"\(name)\" size=\"4\">\n"
    for (bit, position) in bits {
      text += "    <field name=\"\(bit)\" start=\"\(position)\" end=\"\(position)\"/>\n"
    }
    return text + "  </flags>\n"
  }

  /// A vector register of 128 bits by what it can hold.
  private static let vectorTypes: String = {
    let members = [
      ("v8_bfloat16", "v8bf16", "bfloat16", 8), ("v4_float", "v4f", "ieee_single", 4),
      ("v2_double", "v2d", "ieee_double", 2), ("v16_int8", "v16i8", "int8", 16),
      ("v8_int16", "v8i16", "int16", 8),
      ("v4_int32", "v4i32", "int32", 4), ("v2_int64", "v2i64", "int64", 2),
    ]
    var text = ""
    for (_, id, type, count) in members {
      text += "  <vector id=\"\(id)\" type=\"\(type)\" count=\"\(count)\"/>\n"
    }
    text += "  <union id=\"vec128\">\n"
    for (name, id, _, _) in members { text += "    <field name=\"\(name)\" type=\"\(id)\"/>\n" }
    return text + "    <field name=\"uint128\" type=\"uint128\"/>\n  </union>\n"
  }()
}
