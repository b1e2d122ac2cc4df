// swift-tools-version: 6.2
import PackageDescription

/// The generator of everything that follows from the rows in `ISA/`. A package of its own, so that building the product
/// never builds it: what it writes is part of the product's sources.
let package = Package(
  name: "isagen",
  targets: [.executableTarget(name: "isagen")]
)
