// Names of C++ and Rust as people read them: the whole grammar, and names that are not what they seem.
import Testing

@testable import VirtualMachine

@Suite struct DemanglingTests {
  private func readable(_ name: String) -> String { SymbolName.readable(Array(name.utf8)) }

  @Test func readsTheWholeGrammar() {
    let names: [(String, String)] = [
      ("_ZZ3fooIiEvT_E1x", "foo<int>(int)::x"),
      ("_ZGVZ3fooIiEvT_E1x", "guard variable for foo<int>(int)::x"),
      ("_ZThn8_N1A3fooIiEEvT_", "non-virtual thunk to void A::foo<int>(int)"),
      ("_ZTSSs", "typeinfo name for std::basic_string<char, std::char_traits<char>, std::allocator<char> >"),
      ("_ZTISs", "typeinfo for std::basic_string<char, std::char_traits<char>, std::allocator<char> >"),
      (
        "_ZTSPFvSsE",
        "typeinfo name for void (*)(std::basic_string<char, std::char_traits<char>, std::allocator<char> >)"
      ),
      ("_ZTIFivE", "typeinfo for int ()"),
      ("_ZTIPFPFicEdE", "typeinfo for int (*(*)(double))(char)"),
      ("_ZTIPFPiS_E", "typeinfo for int* (*)(int*)"),
      ("_ZTIPFRA3_icE", "typeinfo for int (& (*)(char)) [3]"),
      ("_ZTIA3_A4_i", "typeinfo for int [3][4]"),
      ("_ZTIPA3_A4_i", "typeinfo for int (*) [3][4]"),
      ("_ZTIM1AKFviE", "typeinfo for void (A::*)(int) const"),
      ("_ZTIM1AKi", "typeinfo for int const A::*"),
      ("_ZTIKFvvE", "typeinfo for void () const"),
      ("_ZTIPKFvvRE", "typeinfo for void (*)() const &"),
      ("_ZTIPDoFvvE", "typeinfo for void (*)() noexcept"),
      ("_ZNSsC1Ev", "std::basic_string<char, std::char_traits<char>, std::allocator<char> >::basic_string"),
      ("_ZNSsD1Ev", "std::basic_string<char, std::char_traits<char>, std::allocator<char> >::~basic_string"),
      ("_ZN1AcvT_IiEEv", "A::operator int<int>"),
      ("_ZN1AcvPT_IiEEv", "A::operator int*<int>"),
      ("_ZZ4mainENKUlT_E_clIiEEDaS_", "main::{lambda(auto:1)#1}::operator()<int>"),
      (
        "_ZZZ4mainENKUlT_E_clIiEEDaS_ENKUlvE_clEv",
        "main::{lambda(auto:1)#1}::operator()<int>(int) const::{lambda()#1}::operator()"
      ),
      ("_Z1fILi5ELj6ELln7ELb1ELc97ELPi0EEvv", "f<5, 6u, -7l, true, (char)97, (int*)0>"),
      ("_Z1fILDnEEvv", "f<decltype(nullptr)>"),
      ("_Z1fILDn0EEvv", "f<(decltype(nullptr))0>"),
      ("_Z1fILin5EEvv", "f<-5>"),
      ("_Z1fIXadL_Z1gvEEEvv", "f<&(g())>"),
      ("_Z1fIXadL_ZN1A1gEvEEEvv", "f<&A::g>"),
      ("_Z1fIL_Z1gvEEvv", "f<g()>"),
      ("_Z1fIJicdEEvDpT_", "f<int, char, double>"),
      ("_ZZ1fIJicdEEvDpT_E1x", "f<int, char, double>(int, char, double)::x"),
      ("_ZZ1fIJicdEEvDpRKT_E1x", "f<int, char, double>(int const&, char const&, double const&)::x"),
      ("_ZZ1fIJEEviDpRKT_E1x", "f<>(int)::x"),
      ("_ZZ1fvEs", "f()::string literal"),
      ("_ZZ1fvE1x_0", "f()::x"),
      ("_ZZ1fvEd_NKUlvE_clEv", "f()::{default arg#1}::{lambda()#1}::operator()"),
      ("_ZZ1fvEd0_NKUlvE_clEv", "f()::{default arg#2}::{lambda()#1}::operator()"),
      ("_ZN1AUt_C1Ev", "A::{unnamed type#1}::{unnamed type#1}"),
      ("_ZN1AUt0_3fooEv", "A::{unnamed type#2}::foo"),
      ("_Z1fIiEDTcl1gfp_EET_", "f<int>"),
      ("_ZZ1fIiEDTcl1gfp_EET_E1x", "f<int>(int)::x"),
      ("_ZZ1fIiEDTplfp_Li1EET_E1x", "f<int>(int)::x"),
      ("_ZZ1fIiEDTquplfp_Li1ELi2ELi3EET_E1x", "f<int>(int)::x"),
      ("_ZZ1fIiEN1AIXstT_EEES1_E1x", "f<int>(int)::x"),
      ("_ZZ1fIiEN1AIXgtT_Li1EEEES1_E1x", "f<int>(A<((int)>(1))>)::x"),
      ("_ZZ1fIJicEEN1AIXsZT_EEEvE1x", "f<int, char>()::x"),
      ("_ZZ1fIiENSt9enable_ifIXsr3std7is_sameIT_iEE5valueEvE4typeES1_E1x", "f<int>(int)::x"),
      ("_ZN3foo17h0123456789abcdefE", "foo"),
      ("_ZN4core3fmt9Formatter3pad17h0123456789abcdefE", "core::fmt::Formatter::pad"),
      ("_ZTCN1AE8_1B", "construction vtable for B-in-A"),
      ("_ZGRN1A1xE_", "reference temporary #0 for A::x"),
      ("_ZGRN1A1xE0_", "reference temporary #1 for A::x"),
      ("_Z1fB5cxx11v", "f[abi:cxx11]"),
      ("_ZN1A1fB5cxx11Ev", "A::f[abi:cxx11]"),
      ("_ZN1AC1B5cxx11Ev", "A::A[abi:cxx11]"),
      ("_ZN12_GLOBAL__N_13fooEv", "(anonymous namespace)::foo"),
      ("_ZL3foov", "foo"),
      ("_ZdlPv", "operator delete"),
      ("_Znam", "operator new[]"),
      ("_Zli3_kmy", "operator\"\" _km"),
      ("_ZplRK1AS1_", "operator+"),
      ("_ZlsIiERSoS0_T_", "operator<< <int>"),
      ("_ZltIiEbT_", "operator< <int>"),
      ("_ZTAXtl1ALi1EEE", "template parameter object for A{1}"),
      ("_ZTW1x", "TLS wrapper function for x"),
      ("_ZTH1x", "TLS init function for x"),
      ("_Z1fDv4_f", "f"),
      ("_ZZ1fDv4_fE1x", "f(float __vector(4))::x"),
      ("_ZZ1fDF16_DF16bDhE1x", "f(_Float16, std::bfloat16_t, half)::x"),
      ("_ZZ1fU8__vectoriE1x", "f(int __vector)::x"),
      ("_ZZ1fIiEvOT_E1x", "f<int>(int&&)::x"),
      ("_ZZ1fIRiEvOT_E1x", "f<int&>(int&)::x"),
      ("_ZZ1fIOiEvRT_E1x", "f<int&&>(int&)::x"),
      ("_ZZ1fPrKiPVKcCfE1x", "f(int const restrict*, char const volatile*, float _Complex)::x"),
      ("_ZZNK1A1fEvE1x", "A::f() const::x"),
      ("_ZZNKR1A1fEvE1x", "A::f() const &::x"),
      ("_ZZNKO1A1fEvENKUlvE_clEv", "A::f() const &&::{lambda()#1}::operator()"),
      ("_ZNKO1A1fEv", "A::f"),
      ("_ZDC1a1bE", "[a, b]"),
      ("_ZZ1fizE1x", "f(int, ...)::x"),
      ("_ZZ1fPFviEPFvvEE1x", "f(void (*)(int), void (*)())::x"),
      ("_ZZ4mainENKUlOT_E_clIRiEEDaS0_", "main::{lambda(auto:1&&)#1}::operator()<int&>"),
      ("_Z1fIJRA3_KcPFviEEEvDpOT_", "f<char const (&) [3], void (*)(int)>"),
      (
        "_ZZ1fIJRA3_KcPFviEEEvDpOT_E1x",
        "f<char const (&) [3], void (*)(int)>(char const (&) [3], void (*&&)(int))::x"
      ),
      ("_ZZ1fIPFivEEvRKT_E1x", "f<int (*)()>(int (* const&)())::x"),
      ("_ZZ1fIA3_iEvRKT_E1x", "f<int [3]>(int const (&) [3])::x"),
      ("_ZZ1fIiEvPFT_PS0_EM1AS0_E1x", "f<int>(int (*)(int*), int A::*)::x"),
      ("_Z1gI1AIXcvcLi1EEEEvv", "g<A<(char)(1)> >"),
      ("_Z1gI1AIXscmLi1EEEEvv", "g<A<static_cast<unsigned long>(1)> >"),
      ("_Z1gI1AIXngLi1EEEEvv", "g<A<-(1)> >"),
      ("_Z1gI1AIXntLb1EEEEvv", "g<A<!(true)> >"),
      ("_Z1gI1AIXszLi1EEEEvv", "g<A<sizeof (1)> >"),
      ("_Z1gI1AIXstiEEEvv", "g<A<sizeof (int)> >"),
      ("_Z1gI1AIXatiEEEvv", "g<A<alignof (int)> >"),
      ("_Z1gI1AIXppLi1EEEEvv", "g<A<(1)++> >"),
      ("_Z1gI1AIXpp_Li1EEEEvv", "g<A<++(1)> >"),
      ("_Z1gI1AIXixLi1ELi2EEEEvv", "g<A<(1)[2]> >"),
      ("_Z1gI1AIXdtLi1E1bEEEvv", "g<A<(1).b> >"),
      ("_Z1gI1AIXptLi1E1bEEEvv", "g<A<(1)->b> >"),
      ("_Z1gI1AIXnw_iEEEEvv", "g<A<new int> >"),
      ("_Z1gI1AIXnw_ipiLi3EEEEEvv", "g<A<new int(3)> >"),
      ("_Z1gI1AIXdlLi1EEEEvv", "g<A<delete (1)> >"),
      ("_Z1gI1AIXtwLi1EEEEvv", "g<A<throw (1)> >"),
      ("_Z1gI1AIXtrEEEvv", "g<A<throw> >"),
      ("_Z1gI1AIXnxLi1EEEEvv", "g<A<noexcept(1)> >"),
      ("_Z1gI1AIXquLb1ELi1ELi2EEEEvv", "g<A<(true)?(1) : (2)> >"),
      ("_Z1gI1AIXcmLi1ELi2EEEEvv", "g<A<(1),(2)> >"),
      ("_Z1gI1AIXflplLi1EEEEvv", "g<A<(...+(1))> >"),
      ("_Z1gI1AIXfLplLi1ELi2EEEEvv", "g<A<((1)+...+(2))> >"),
      ("_Z1gI1AIXssLi1ELi2EEEEvv", "g<A<(1)<=>(2)> >"),
      ("_Z1gI1AIXLf3f800000EEEEvv", "g<A<(float)[3f800000]> >"),
      ("_Z1gI1AIXLs5EEEEvv", "g<A<(short)5> >"),
      ("_Z1gI1AIXLN1B1CE2EEEEvv", "g<A<(B::C)2> >"),
      ("_Z1gIFvvOEEvv", "g<void () &&>"),
      ("_Z1gIPDO1aEFviEEvv", "g<void (*)(int) noexcept(a)>"),
      ("_Z1gIPDwicEFviEEvv", "g<void (*)(int) throw(int, char)>"),
      ("_Z1gIM1AFvvREEvv", "g<void (A::*)() &>"),
      ("_Z1gIM1AA3_iEvv", "g<int (A::*) [3]>"),
      ("_Z1gIA_iEvv", "g<int []>"),
      ("_Z1gIVrPKvEvv", "g<void const* restrict volatile>"),
      ("_Z1gIu6mytypeEvv", "g<mytype>"),
      ("_Z1gIDTplLi1ELi2EEEvv", "g<decltype ((1)+(2))>"),
      ("_ZN1Av23fooEv", "A::operator foo"),
      (
        "_ZNSt3__112basic_stringIcNS_11char_traitsIcEENS_9allocatorIcEEE6appendEPKc",
        "std::__1::basic_string<char, std::__1::char_traits<char>, std::__1::allocator<char> >::append"
      ),
      (
        "_ZStplIcSt11char_traitsIcESaIcEESbIT_T0_T1_ERKS6_S8_",
        "std::operator+<char, std::char_traits<char>, std::allocator<char> >"
      ),
      ("_ZNSaIcED1Ev", "std::allocator<char>::~allocator"),
      ("_ZNSolsEi", "std::basic_ostream<char, std::char_traits<char> >::operator<<"),
      ("_ZNKSs4sizeEv", "std::basic_string<char, std::char_traits<char>, std::allocator<char> >::size"),
      ("_ZGTtNSt11range_errorC2EPKc", "transaction clone for std::range_error::range_error(char const*)"),
      ("_ZTv0_n24_N1A1fEv", "virtual thunk to A::f()"),
      ("_ZTch0_v0_n24_N1A1fEv", "covariant return thunk to A::f()"),
      ("_ZN1AclEv", "A::operator()"),
      ("_ZN1AixEi", "A::operator[]"),
      ("_ZN1AptEv", "A::operator->"),
      ("_ZN1AaSERKS_", "A::operator="),
      ("_ZdaPvm", "operator delete[]"),
      ("_ZN1AawEv", "A::operator co_await"),
      ("_ZN1AssERKS_", "A::operator<=>"),
      ("_Z3fooILb0EEvv.constprop.0.isra.1", "foo<false>.constprop.0.isra.1"),
      ("_ZN1XILi1EE3fooILj2EEEvv", "X<1>::foo<2u>"),
    ]
    for (name, expected) in names { #expect(readable(name) == expected) }
  }

  /// Names of Rust end with a hash, which says nothing to anybody.
  @Test func readsRust() {
    let names = [
      "_ZN3foo3bar17h0123456789abcdefE": "foo::bar",
      "_ZN3foo3bar17h0123456789abcdefE.llvm.12": "foo::bar.llvm.12",
      "_ZN4core3ops8function6FnOnce40call_once$u7b$$u7b$vtable.shim$u7d$$u7d$17h0123456789abcdefE":
        "core::ops::function::FnOnce::call_once{{vtable.shim}}",
      "_ZN41_$LT$$RF$str$u20$as$u20$a..B$LP$C$RP$$GT$3fmt17h0123456789abcdefE": "<&str as a::B(C)>::fmt",
      "_ZN3f$$17h0123456789abcdefE": "f$$::h0123456789abcdef",
    ]
    for (name, expected) in names { #expect(readable(name) == expected) }
  }

  @Test func readsNewerRust() {
    let names = [
      "_RNvCsbyvwVjlSt48_3log6logger": "log::logger",
      "_RNvMsr_NtCsjrHSEGnQ3l9_3std4pathNtB5_7PathBuf3pop": "<std::path::PathBuf>::pop",
      "_RNvXsa_NtNtCsgEmfK2I1SDS_4core3fmt5floatC3f16NtB7_5Debug3fmt": "<f16 as core::fmt::Debug>::fmt",
      "_RNCNvC1a1b0": "a::b::{closure#0}", "_RNCNvC1a1bs_0.llvm.1": "a::b::{closure#1}.llvm.1",
      "_RINvC1a1bRlQeTjEAhj10_SyPuOzFEuE": "a::b::<&i32, &mut str, (usize,), [u8; 16], [u64], *const (), "
        + "*mut !, fn()>",
      "_RINvC1a1bKb1_Kc61_Kin5_KpE": "a::b::<true, 'a', -5, _>",
      "_RINvC1a1bDNtC1c1Tp1IlEL_FG_UKCRL0_eEuE":
        "a::b::<dyn c::T<I = i32>, for<'a> unsafe extern \"C\" fn(&'a str)>",
      "_RNvC1a1bC1c": "a::b", "_RNvC1a": "_RNvC1a", "_RB_": "_RB_", "_RINvC1a1bB0_E": "a::b::<a::b>",
    ]
    for (name, expected) in names { #expect(readable(name) == expected) }
    let bytes = Array("_RINvC1a1bDNtC1c1Tp1IlEL_FG_UKCRL0_eEuRlQeTjEAhj10_KpB6_E".utf8)
    for count in 0..<bytes.count {
      for place in 0..<count {
        var damaged = Array(bytes.prefix(count))
        damaged[place] = Array("BCNIMXYETRL_s9".utf8)[place % 14]
        #expect(!SymbolName.readable(damaged).isEmpty)
      }
    }
    // Each element is twice the one before.
    var bomb = "_RINvC1a1bl"
    for _ in 0..<30 { bomb += "TB8_B8_E" }
    #expect(readable(bomb + "E").utf8.count < 16 << 10)
  }

  private let long =
    "_ZZN1AIXclL_Z1fiELi1EEEE1gIJRA3_KcPFviEiEEEDTplfp_Li1EEDpOT_PKS1_U3AS1PcENKUlT_OT0_E_clIiRdEEDaS3_M1BFvvE"

  @Test func leavesDamagedNames() {
    let bytes = Array(long.utf8)
    #expect(readable(long) != long)
    for count in 0..<bytes.count {
      let part = String(decoding: bytes.prefix(count), as: UTF8.self)
      #expect(!readable(part).isEmpty || count == 0)
    }
    var state: UInt64 = 0x2545_f491_4f6c_dd1d
    func next(_ bound: Int) -> Int {
      state ^= state &<< 13
      state ^= state &>> 7
      state ^= state &<< 17
      return Int(state >> 33) % bound
    }
    let letters = Array("_0123456789ABCDEFGIJKLMNOPRSTUVXZabcdefghijklmnopqrstuvwxyz.$".utf8)
    for _ in 0..<20000 {
      var damaged = bytes
      for _ in 0...next(4) {
        damaged[2 + next(bytes.count - 2)] = next(8) == 0 ? UInt8(next(256)) : letters[next(letters.count)]
      }
      #expect(SymbolName.readable(damaged).utf8.count < 16 << 10)
    }
  }

  /// Names that are short and mean more than anybody can read.
  @Test func leavesBombs() {
    var doubling = "_Z1fI1AIiiE"
    for index in 0..<34 {
      let before = index == 0 ? "_" : String(index - 1, radix: 36, uppercase: true) + "_"
      doubling += "S0_IS\(before)S\(before)E"
    }
    let packs =
      "_Z1fIJ" + String(repeating: "i", count: 2000) + "EEv" + String(repeating: "Dp1AIDpT_E", count: 300)
    let names = [
      doubling + "Evv", packs, "_ZZ" + packs + "E1x", "_Z1f" + String(repeating: "P", count: 100_000) + "i",
      String(repeating: "_ZZ", count: 5000), "_ZN" + String(repeating: "1aI", count: 4000),
      "_Z1fIX" + String(repeating: "ng", count: 5000) + "Li1EEEvv", "_ZZ1fIT_EvT_E1x", "_ZN1AcvT_IS_T_EEv",
      "_ZTI" + String(repeating: "F", count: 5000), "_Z99999999999999999999999x", "_ZTIS99999999999999_",
      "_ZTIA99999999999999999999_i", "_ZTIDv99999999999999999999999999_i",
      "_Z1fIL" + String(repeating: "L", count: 900), "_ZZ1fIJiEEvDpT_DpT0_E1x",
    ]
    for name in names { #expect(readable(name) == name || name.utf8.count < 50) }
  }
}
