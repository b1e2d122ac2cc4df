// The meaning of every instruction, written once. Each family extends this namespace in a file of its own with static
// functions that are named in the rows of ISA/*.isa and generic over the backend and the places of their operands.
//
// Rules: everything that can fault comes before anything that changes state; a guest value is never branched on in Swift,
// only through the backend (`select`, `trap(if:)`, the `…(if:)` primitives, string and loop primitives).

/// The namespace of instruction semantics; the names of its functions are the last column of the rows.
public enum Semantics {}
