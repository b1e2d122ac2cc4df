// The sixteen condition codes of Jcc, SETcc and CMOVcc. Raw values are the low four bits of the opcode.

/// A condition code (Intel SDM volume 1, appendix B).
public enum Condition: UInt8, CaseIterable, Sendable {
  case overflow, notOverflow
  case below, aboveOrEqual
  case equal, notEqual
  case belowOrEqual, above
  case sign, notSign
  case parity, notParity
  case less, greaterOrEqual
  case lessOrEqual, greater
}
