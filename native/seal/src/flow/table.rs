//! The exceptions to the general rule, a row each: which instructions, by which rule, and why.

use iced_x86::Mnemonic;

use super::elements::Elements;
use super::images::Image;
use super::scalar::{Scalar, Shift};
use super::vector::Vector;

#[derive(Clone, Copy)]
pub enum Rule {
    General,
    May,                    // the general rule, but what was there may stay
    Clear,                  // what is written depends on nothing
    Keep,                   // nothing is written that has tags
    Line,                   // clzero
    Cancels(&'static Rule), // of two different inputs; of one and the same the result is a constant
    Scalar(Scalar),
    Vector(Vector),
    Elements(Elements),
    Image(Image),
}

const fn scalar(rule: Scalar) -> Rule {
    Rule::Scalar(rule)
}

const fn vector(rule: Vector) -> Rule {
    Rule::Vector(rule)
}

const CARRY: Rule = scalar(Scalar::Carry);
const BITWISE: Rule = scalar(Scalar::Bitwise);
const BYTES: Rule = vector(Vector::Bytes);
const EACH: Rule = vector(Vector::Each);
const EACH_CARRY: Rule = vector(Vector::Carry);
const SS: Rule = vector(Vector::One { from: 4, to: 4 });
const SD: Rule = vector(Vector::One { from: 8, to: 8 });
const OF_SS: Rule = vector(Vector::OneOf { from: 4, to: 4 });
const OF_SD: Rule = vector(Vector::OneOf { from: 8, to: 8 });

const fn convert(from: usize, to: usize) -> Rule {
    vector(Vector::Convert { from, to })
}

const fn zeros(from: usize, to: usize) -> Rule {
    vector(Vector::Extend { from, to })
}

const fn signs(from: usize, to: usize) -> Rule {
    vector(Vector::ExtendSigned { from, to })
}

const fn cut(from: usize, to: usize) -> Rule {
    vector(Vector::Truncate { from, to })
}

const fn one_of(from: usize, to: usize) -> Rule {
    vector(Vector::OneOf { from, to })
}

const fn interleave(size: usize, high: bool) -> Rule {
    vector(Vector::Interleave { size, high })
}

const fn repeat_each(size: usize, odd: bool, of: usize) -> Rule {
    vector(Vector::RepeatEach { size, odd, of })
}

const fn shift(size: usize, by: Shift) -> Rule {
    vector(Vector::Shift(size, by))
}

/// Return the rule that an instruction goes by.
#[rustfmt::skip]
pub fn rule(mnemonic: Mnemonic) -> Rule {
    use Mnemonic::*;
    match mnemonic {
        // ---- general registers
        Mov | Movzx | Movnti | Movdiri => scalar(Scalar::Move),                    // a byte is what it was
        Movsx | Movsxd | Cbw | Cwde | Cdqe => scalar(Scalar::Extend),              // above it, its sign
        Cwd | Cdq | Cqo => scalar(Scalar::ExtendHigh),                             // the sign alone
        Xor => Rule::Cancels(&BITWISE),                                            // r ^ r is 0
        And | Or | Not | Andn => BITWISE,                                          // no bit reaches another; x & 0 is 0, x | ff is ff
        Sub | Sbb => Rule::Cancels(&CARRY),                                        // r - r is 0, or all the carry, which is a flag
        Add | Adc | Inc | Dec | Neg | Adcx | Adox => CARRY,                        // carries go upwards alone
        Blsi | Blsr | Blsmsk => CARRY,                                             // x & -x, x & (x-1), x ^ (x-1)
        Lea => scalar(Scalar::Lea),                                                // adds; a scale moves upwards too
        Popcnt | Tzcnt | Lzcnt => scalar(Scalar::Count),                           // at most 64: one byte
        Bsf | Bsr => scalar(Scalar::CountOld),                                     // of 0 they leave what was there
        Cmova | Cmovae | Cmovb | Cmovbe | Cmove | Cmovg | Cmovge | Cmovl | Cmovle | Cmovne | Cmovno | Cmovnp | Cmovns | Cmovo
        | Cmovp | Cmovs => scalar(Scalar::Either),                                 // which of both, flags say
        Bts | Btr | Btc => scalar(Scalar::Bit),                                    // the rest stays; a register may say which
        Bswap | Movbe => scalar(Scalar::Reverse),
        Shl | Sal | Shlx => scalar(Scalar::Shift(Shift::Left)),                    // by as much as is known when it executes
        Shr | Shrx => scalar(Scalar::Shift(Shift::Right)),
        Sar | Sarx => scalar(Scalar::Shift(Shift::RightSigned)),
        Rol => scalar(Scalar::Shift(Shift::RotateLeft)),
        Ror | Rorx => scalar(Scalar::Shift(Shift::RotateRight)),
        Shld | Shrd => scalar(Scalar::Double),
        Mul | Imul => scalar(Scalar::Multiply),                                    // the low half as a sum, the high half of all
        Div | Idiv => scalar(Scalar::Divide),                                      // of all, but no more than is written
        Xchg => scalar(Scalar::Exchange),
        Xadd => scalar(Scalar::ExchangeAdd),
        Cmpxchg => scalar(Scalar::CompareExchange),                                // a comparison decides: both are possible
        Cmpxchg8b | Cmpxchg16b => scalar(Scalar::CompareExchangeWide),
        Push => scalar(Scalar::Push),
        Call => scalar(Scalar::PushClean),                                         // a return address is the code's own
        Pop => scalar(Scalar::Pop),
        Leave => scalar(Scalar::Leave),
        Xlatb => scalar(Scalar::Byte),                                             // the index is a part of an address
        Seta | Setae | Setb | Setbe | Sete | Setg | Setge | Setl | Setle | Setne | Setno | Setnp | Setns | Seto | Setp | Sets
        | Lahf => Rule::Clear,                                                     // flags have no tags
        Rdsspd | Rdsspq | Incsspd | Incsspq => Rule::Keep,                         // without a shadow stack they do nothing
        Str | Sldt | Smsw => Rule::May,                                            // where the kernel does it, it leaves the upper half
        Prefetch | Prefetchnta | Prefetcht0 | Prefetcht1 | Prefetcht2 | Prefetchw | Prefetchwt1 | Prefetchit0 | Prefetchit1
        | Nop | Reservednop | Endbr64 | Endbr32 | Clflush | Clflushopt | Clwb | Cldemote => Rule::Keep,
        Clzero => Rule::Line,                                                      // a whole line becomes zeros

        // ---- moves of vectors
        Movd | Movq | Vmovd | Vmovq | Movaps | Movapd | Movups | Movupd | Movdqa | Movdqu | Lddqu | Movntps | Movntpd | Movntdq
        | Movntdqa | Movntq | Movq2dq | Movdq2q | Vmovaps | Vmovapd | Vmovups | Vmovupd | Vmovdqa | Vmovdqu | Vmovdqa32
        | Vmovdqa64 | Vmovdqu8 | Vmovdqu16 | Vmovdqu32 | Vmovdqu64 | Vlddqu | Vmovntps | Vmovntpd | Vmovntdq | Vmovntdqa
        | Vmovw | Kmovb | Kmovw | Kmovd | Kmovq => vector(Vector::Move),
        Movss | Vmovss | Movntss => vector(Vector::MoveLow(4)),                    // from memory zeros above, between registers what was there
        Movsd | Vmovsd | Movntsd => vector(Vector::MoveLow(8)),
        Movlps | Movlpd | Vmovlps | Vmovlpd => vector(Vector::MoveHalf { high: false }),
        Movhps | Movhpd | Vmovhps | Vmovhpd => vector(Vector::MoveHalf { high: true }),
        Movlhps | Vmovlhps => vector(Vector::Cross { up: true }),
        Movhlps | Vmovhlps => vector(Vector::Cross { up: false }),
        Pinsrb | Vpinsrb => vector(Vector::Insert(1)),
        Pinsrw | Vpinsrw => vector(Vector::Insert(2)),
        Pinsrd | Vpinsrd => vector(Vector::Insert(4)),
        Pinsrq | Vpinsrq => vector(Vector::Insert(8)),
        Insertps | Vinsertps => vector(Vector::InsertSingle),
        Vinsertf128 | Vinserti128 | Vinsertf32x4 | Vinserti32x4 | Vinsertf64x2 | Vinserti64x2 => vector(Vector::Insert(16)),
        Vinsertf32x8 | Vinserti32x8 | Vinsertf64x4 | Vinserti64x4 => vector(Vector::Insert(32)),
        Pextrb | Vpextrb => vector(Vector::Extract(1)),
        Pextrw | Vpextrw => vector(Vector::Extract(2)),
        Pextrd | Vpextrd | Extractps | Vextractps => vector(Vector::Extract(4)),
        Pextrq | Vpextrq => vector(Vector::Extract(8)),
        Vextractf128 | Vextracti128 | Vextractf32x4 | Vextracti32x4 | Vextractf64x2 | Vextracti64x2 => vector(Vector::Extract(16)),
        Vextractf32x8 | Vextracti32x8 | Vextractf64x4 | Vextracti64x4 => vector(Vector::Extract(32)),
        Vpbroadcastb => vector(Vector::Repeat(1)),
        Vpbroadcastw => vector(Vector::Repeat(2)),
        Vpbroadcastd | Vbroadcastss => vector(Vector::Repeat(4)),
        Vpbroadcastq | Vbroadcastsd | Vbroadcastf32x2 | Vbroadcasti32x2 => vector(Vector::Repeat(8)),
        Vbroadcastf128 | Vbroadcasti128 | Vbroadcastf32x4 | Vbroadcasti32x4 | Vbroadcastf64x2 | Vbroadcasti64x2
            => vector(Vector::Repeat(16)),
        Vbroadcastf32x8 | Vbroadcasti32x8 | Vbroadcastf64x4 | Vbroadcasti64x4 => vector(Vector::Repeat(32)),
        Movddup | Vmovddup => repeat_each(8, false, 16),
        Movsldup | Vmovsldup => repeat_each(4, false, 8),
        Movshdup | Vmovshdup => repeat_each(4, true, 8),
        Vzeroupper => vector(Vector::Uppers),
        Vzeroall => Rule::Clear,

        // ---- shuffles, by what the immediate says
        Pshufd | Vpshufd | Vpermilps => vector(Vector::Four(4)),
        Pshufw => vector(Vector::Four(2)),
        Vpermq | Vpermpd => vector(Vector::Four(8)),
        Vpermilpd => vector(Vector::Alternate),
        Pshuflw | Vpshuflw => vector(Vector::Words { from: 0 }),
        Pshufhw | Vpshufhw => vector(Vector::Words { from: 8 }),
        Shufps | Vshufps => vector(Vector::Two(4)),
        Shufpd | Vshufpd => vector(Vector::Two(8)),
        Punpcklbw | Vpunpcklbw => interleave(1, false),
        Punpcklwd | Vpunpcklwd => interleave(2, false),
        Punpckldq | Vpunpckldq | Unpcklps | Vunpcklps => interleave(4, false),
        Punpcklqdq | Vpunpcklqdq | Unpcklpd | Vunpcklpd => interleave(8, false),
        Punpckhbw | Vpunpckhbw => interleave(1, true),
        Punpckhwd | Vpunpckhwd => interleave(2, true),
        Punpckhdq | Vpunpckhdq | Unpckhps | Vunpckhps => interleave(4, true),
        Punpckhqdq | Vpunpckhqdq | Unpckhpd | Vunpckhpd => interleave(8, true),
        Palignr | Vpalignr => vector(Vector::Align),
        Valignd => vector(Vector::AlignElements(4)),
        Valignq => vector(Vector::AlignElements(8)),
        Pslldq | Vpslldq => vector(Vector::ShiftLane { left: true }),
        Psrldq | Vpsrldq => vector(Vector::ShiftLane { left: false }),
        Pblendw | Vpblendw => vector(Vector::Select(2)),
        Blendps | Vblendps | Vpblendd => vector(Vector::Select(4)),
        Blendpd | Vblendpd => vector(Vector::Select(8)),
        Vperm2f128 | Vperm2i128 => vector(Vector::Halves),
        Vshuff32x4 | Vshufi32x4 | Vshuff64x2 | Vshufi64x2 => vector(Vector::Quarters),
        Pshufb | Vpshufb => vector(Vector::ByBytes),                               // by what the register, or memory, holds

        // ---- byte by byte
        Pxor | Vpxor | Vpxord | Vpxorq | Xorps | Xorpd | Vxorps | Vxorpd | Pandn | Vpandn | Vpandnd | Vpandnq | Andnps | Andnpd
        | Vandnps | Vandnpd => Rule::Cancels(&BYTES),                              // x ^ x and !x & x are 0
        Pand | Vpand | Vpandd | Vpandq | Andps | Andpd | Vandps | Vandpd | Por | Vpor | Vpord | Vporq | Orps | Orpd | Vorps | Vorpd => BYTES,
        Vpternlogd | Vpternlogq => vector(Vector::FusedBytes),
        Vpblendmb | Vpblendmw | Vpblendmd | Vpblendmq | Vblendmps | Vblendmpd => vector(Vector::Blend),
        Kandb | Kandw | Kandd | Kandq | Korb | Korw | Kord | Korq | Knotb | Knotw | Knotd | Knotq => BYTES,
        Kxorb | Kxorw | Kxord | Kxorq | Kxnorb | Kxnorw | Kxnord | Kxnorq | Kandnb | Kandnw | Kandnd | Kandnq
            => Rule::Cancels(&BYTES),

        // ---- element by element
        Paddb | Paddw | Paddd | Paddq | Vpaddb | Vpaddw | Vpaddd | Vpaddq | Pmullw | Pmulld | Vpmullw | Vpmulld | Vpmullq => EACH_CARRY,
        Psubb | Psubw | Psubd | Psubq | Vpsubb | Vpsubw | Vpsubd | Vpsubq => Rule::Cancels(&EACH_CARRY), // x - x is 0
        Psubsb | Psubsw | Psubusb | Psubusw | Vpsubsb | Vpsubsw | Vpsubusb | Vpsubusw | Pcmpeqb | Pcmpeqw | Pcmpeqd | Pcmpeqq
        | Vpcmpeqb | Vpcmpeqw | Vpcmpeqd | Vpcmpeqq | Pcmpgtb | Pcmpgtw | Pcmpgtd | Pcmpgtq | Vpcmpgtb | Vpcmpgtw | Vpcmpgtd
        | Vpcmpgtq => Rule::Cancels(&EACH),                                        // x = x is all ones
        Vpcmpb | Vpcmpw | Vpcmpd | Vpcmpq | Vpcmpub | Vpcmpuw | Vpcmpud | Vpcmpuq | Vptestmb | Vptestmw | Vptestmd | Vptestmq
        | Vptestnmb | Vptestnmw | Vptestnmd | Vptestnmq | Cmpps | Cmppd | Vcmpps | Vcmppd | Vfpclassps | Vfpclasspd => EACH,
        Paddsb | Paddsw | Paddusb | Paddusw | Vpaddsb | Vpaddsw | Vpaddusb | Vpaddusw | Pavgb | Pavgw | Vpavgb | Vpavgw
        | Pminub | Pminuw | Pminud | Pminsb | Pminsw | Pminsd | Pmaxub | Pmaxuw | Pmaxud | Pmaxsb | Pmaxsw | Pmaxsd
        | Vpminub | Vpminuw | Vpminud | Vpminuq | Vpminsb | Vpminsw | Vpminsd | Vpminsq | Vpmaxub | Vpmaxuw | Vpmaxud | Vpmaxuq
        | Vpmaxsb | Vpmaxsw | Vpmaxsd | Vpmaxsq | Pabsb | Pabsw | Pabsd | Vpabsb | Vpabsw | Vpabsd | Vpabsq
        | Psignb | Psignw | Psignd | Vpsignb | Vpsignw | Vpsignd | Pmulhw | Pmulhuw | Pmulhrsw | Vpmulhw | Vpmulhuw | Vpmulhrsw
        | Vpopcntb | Vpopcntw | Vpopcntd | Vpopcntq | Vplzcntd | Vplzcntq | Vprold | Vprolq | Vprord | Vprorq | Vprolvd | Vprolvq
        | Vprorvd | Vprorvq | Vpsllvw | Vpsllvd | Vpsllvq | Vpsrlvw | Vpsrlvd | Vpsrlvq | Vpsravw | Vpsravd | Vpsravq
        | Vpshldw | Vpshldd | Vpshldq | Vpshrdw | Vpshrdd | Vpshrdq => EACH,
        Addps | Addpd | Vaddps | Vaddpd | Subps | Subpd | Vsubps | Vsubpd | Mulps | Mulpd | Vmulps | Vmulpd | Divps | Divpd | Vdivps
        | Vdivpd | Minps | Minpd | Vminps | Vminpd | Maxps | Maxpd | Vmaxps | Vmaxpd | Sqrtps | Sqrtpd | Vsqrtps | Vsqrtpd
        | Rcpps | Vrcpps | Rsqrtps | Vrsqrtps | Roundps | Roundpd | Vroundps | Vroundpd | Addsubps | Addsubpd | Vaddsubps
        | Vaddsubpd | Vrcp14ps | Vrcp14pd | Vrsqrt14ps | Vrsqrt14pd | Vgetexpps | Vgetexppd | Vgetmantps | Vgetmantpd | Vrangeps
        | Vrangepd | Vreduceps | Vreducepd | Vrndscaleps | Vrndscalepd | Vscalefps | Vscalefpd => EACH,
        Cvtdq2ps | Vcvtdq2ps | Cvtps2dq | Vcvtps2dq | Cvttps2dq | Vcvttps2dq | Vcvtps2udq | Vcvttps2udq | Vcvtudq2ps | Vcvtpd2qq
        | Vcvttpd2qq | Vcvtpd2uqq | Vcvttpd2uqq | Vcvtqq2pd | Vcvtuqq2pd => EACH,
        Vpshldvw | Vpshldvd | Vpshldvq | Vpshrdvw | Vpshrdvd | Vpshrdvq | Vfixupimmps | Vfixupimmpd => vector(Vector::Fused),
        Vfmadd132ps | Vfmadd213ps | Vfmadd231ps | Vfmadd132pd | Vfmadd213pd | Vfmadd231pd | Vfmsub132ps | Vfmsub213ps
        | Vfmsub231ps | Vfmsub132pd | Vfmsub213pd | Vfmsub231pd | Vfnmadd132ps | Vfnmadd213ps | Vfnmadd231ps | Vfnmadd132pd
        | Vfnmadd213pd | Vfnmadd231pd | Vfnmsub132ps | Vfnmsub213ps | Vfnmsub231ps | Vfnmsub132pd | Vfnmsub213pd | Vfnmsub231pd
        | Vfmaddsub132ps | Vfmaddsub213ps | Vfmaddsub231ps | Vfmaddsub132pd | Vfmaddsub213pd | Vfmaddsub231pd | Vfmsubadd132ps
        | Vfmsubadd213ps | Vfmsubadd231ps | Vfmsubadd132pd | Vfmsubadd213pd | Vfmsubadd231pd => vector(Vector::Fused),
        Vpdpbusd | Vpdpbusds | Vpdpwssd | Vpdpwssds | Vdpbf16ps => vector(Vector::FusedLanes(4)),
        Vpmadd52luq | Vpmadd52huq => vector(Vector::FusedLanes(8)),
        Insertq | Extrq => vector(Vector::FusedLanes(16)),                         // the upper half is undefined
        Gf2p8mulb | Vgf2p8mulb => vector(Vector::Lanes(1)),
        Pmaddubsw | Vpmaddubsw => vector(Vector::Lanes(2)),
        Pmaddwd | Vpmaddwd => vector(Vector::Lanes(4)),
        Pmuludq | Vpmuludq | Pmuldq | Vpmuldq | Psadbw | Vpsadbw | Gf2p8affineqb | Vgf2p8affineqb | Gf2p8affineinvqb
        | Vgf2p8affineinvqb | Vpmultishiftqb => vector(Vector::Lanes(8)),
        Pblendvb | Vpblendvb => vector(Vector::Choose(1)),
        Blendvps | Vblendvps => vector(Vector::Choose(4)),
        Blendvpd | Vblendvpd => vector(Vector::Choose(8)),
        Aesenc | Aesenclast | Aesdec | Aesdeclast | Vaesenc | Vaesenclast | Vaesdec | Vaesdeclast | Pclmulqdq | Vpclmulqdq | Dpps
        | Vdpps | Mpsadbw | Vmpsadbw | Vdbpsadbw => vector(Vector::Lanes(16)),
        Psllw | Vpsllw => shift(2, Shift::Left),
        Pslld | Vpslld => shift(4, Shift::Left),
        Psllq | Vpsllq => shift(8, Shift::Left),
        Psrlw | Vpsrlw => shift(2, Shift::Right),
        Psrld | Vpsrld => shift(4, Shift::Right),
        Psrlq | Vpsrlq => shift(8, Shift::Right),
        Psraw | Vpsraw => shift(2, Shift::RightSigned),
        Psrad | Vpsrad => shift(4, Shift::RightSigned),
        Vpsraq => shift(8, Shift::RightSigned),
        Packsswb | Vpacksswb | Packuswb | Vpackuswb => vector(Vector::Pairs(1)),
        Packssdw | Vpackssdw | Packusdw | Vpackusdw | Phaddw | Vphaddw | Phaddsw | Vphaddsw | Phsubw | Vphsubw | Phsubsw | Vphsubsw
            => vector(Vector::Pairs(2)),
        Phaddd | Vphaddd | Phsubd | Vphsubd | Haddps | Vhaddps | Hsubps | Vhsubps => vector(Vector::Pairs(4)),
        Haddpd | Vhaddpd | Hsubpd | Vhsubpd => vector(Vector::Pairs(8)),
        Pmovmskb | Vpmovmskb | Vpmovb2m => vector(Vector::Mask(1)),
        Vpmovw2m => vector(Vector::Mask(2)),
        Movmskps | Vmovmskps | Vpmovd2m => vector(Vector::Mask(4)),
        Movmskpd | Vmovmskpd | Vpmovq2m => vector(Vector::Mask(8)),

        // ---- one element
        Addss | Vaddss | Subss | Vsubss | Mulss | Vmulss | Divss | Vdivss | Minss | Vminss | Maxss | Vmaxss | Cmpss | Vcmpss
        | Vrangess | Vscalefss => SS,
        Addsd | Vaddsd | Subsd | Vsubsd | Mulsd | Vmulsd | Divsd | Vdivsd | Minsd | Vminsd | Maxsd | Vmaxsd | Cmpsd | Vcmpsd
        | Vrangesd | Vscalefsd => SD,
        Sqrtss | Vsqrtss | Rcpss | Vrcpss | Rsqrtss | Vrsqrtss | Roundss | Vroundss | Vrcp14ss | Vrsqrt14ss | Vgetexpss | Vgetmantss
        | Vreducess | Vrndscaless => OF_SS,
        Sqrtsd | Vsqrtsd | Roundsd | Vroundsd | Vrcp14sd | Vrsqrt14sd | Vgetexpsd | Vgetmantsd | Vreducesd | Vrndscalesd => OF_SD,
        Cvtss2sd | Vcvtss2sd => one_of(4, 8),
        Cvtsd2ss | Vcvtsd2ss => one_of(8, 4),
        Cvtsi2ss | Vcvtsi2ss | Vcvtusi2ss => one_of(8, 4),
        Cvtsi2sd | Vcvtsi2sd | Vcvtusi2sd => one_of(8, 8),
        Cvtss2si | Vcvtss2si | Cvttss2si | Vcvttss2si | Vcvtss2usi | Vcvttss2usi => vector(Vector::Low(4)),
        Cvtsd2si | Vcvtsd2si | Cvttsd2si | Vcvttsd2si | Vcvtsd2usi | Vcvttsd2usi => vector(Vector::Low(8)),
        Vfmadd132ss | Vfmadd213ss | Vfmadd231ss | Vfmsub132ss | Vfmsub213ss | Vfmsub231ss | Vfnmadd132ss | Vfnmadd213ss
        | Vfnmadd231ss | Vfnmsub132ss | Vfnmsub213ss | Vfnmsub231ss => vector(Vector::OneFused(4)),
        Vfmadd132sd | Vfmadd213sd | Vfmadd231sd | Vfmsub132sd | Vfmsub213sd | Vfmsub231sd | Vfnmadd132sd | Vfnmadd213sd
        | Vfnmadd231sd | Vfnmsub132sd | Vfnmsub213sd | Vfnmsub231sd => vector(Vector::OneFused(8)),

        // ---- to another size
        Pmovzxbw | Vpmovzxbw => zeros(1, 2),
        Pmovzxbd | Vpmovzxbd => zeros(1, 4),
        Pmovzxbq | Vpmovzxbq => zeros(1, 8),
        Pmovzxwd | Vpmovzxwd => zeros(2, 4),
        Pmovzxwq | Vpmovzxwq => zeros(2, 8),
        Pmovzxdq | Vpmovzxdq => zeros(4, 8),
        Pmovsxbw | Vpmovsxbw => signs(1, 2),
        Pmovsxbd | Vpmovsxbd => signs(1, 4),
        Pmovsxbq | Vpmovsxbq => signs(1, 8),
        Pmovsxwd | Vpmovsxwd => signs(2, 4),
        Pmovsxwq | Vpmovsxwq => signs(2, 8),
        Pmovsxdq | Vpmovsxdq => signs(4, 8),
        Vpmovwb => cut(2, 1),
        Vpmovdb => cut(4, 1),
        Vpmovqb => cut(8, 1),
        Vpmovdw => cut(4, 2),
        Vpmovqw => cut(8, 2),
        Vpmovqd => cut(8, 4),
        Vpmovswb | Vpmovuswb => convert(2, 1),                                     // saturation looks at all of an element
        Vpmovsdb | Vpmovusdb => convert(4, 1),
        Vpmovsqb | Vpmovusqb => convert(8, 1),
        Vpmovsdw | Vpmovusdw => convert(4, 2),
        Vpmovsqw | Vpmovusqw => convert(8, 2),
        Vpmovsqd | Vpmovusqd => convert(8, 4),
        Cvtdq2pd | Vcvtdq2pd | Vcvtudq2pd | Cvtps2pd | Vcvtps2pd | Vcvtps2qq | Vcvttps2qq | Vcvtps2uqq | Vcvttps2uqq | Cvtpi2pd
            => convert(4, 8),
        Cvtpd2dq | Vcvtpd2dq | Cvttpd2dq | Vcvttpd2dq | Cvtpd2ps | Vcvtpd2ps | Vcvtpd2udq | Vcvttpd2udq | Vcvtqq2ps | Vcvtuqq2ps
            => convert(8, 4),
        Vcvtph2ps => convert(2, 4),
        Vcvtps2ph | Vcvtneps2bf16 => convert(4, 2),

        // ---- element by element in memory
        Vgatherdps | Vgatherdpd | Vgatherqps | Vgatherqpd | Vpgatherdd | Vpgatherdq | Vpgatherqd | Vpgatherqq
            => Rule::Elements(Elements::Gather),
        Vscatterdps | Vscatterdpd | Vscatterqps | Vscatterqpd | Vpscatterdd | Vpscatterdq | Vpscatterqd | Vpscatterqq
            => Rule::Elements(Elements::Scatter),
        Vmaskmovps | Vmaskmovpd | Vpmaskmovd | Vpmaskmovq => Rule::Elements(Elements::Masked),
        Maskmovq | Maskmovdqu | Vmaskmovdqu => Rule::Elements(Elements::MaskedBytes),
        Movdir64b => Rule::Elements(Elements::Far),

        // ---- the processor's state
        Fxsave | Fxsave64 => Rule::Image(Image::SaveOld),
        Fxrstor | Fxrstor64 => Rule::Image(Image::RestoreOld),
        Xsave | Xsave64 => Rule::Image(Image::Save),
        Xsaveopt | Xsaveopt64 => Rule::Image(Image::SaveInUse),
        Xsavec | Xsavec64 => Rule::Image(Image::SaveCompact),
        Xrstor | Xrstor64 => Rule::Image(Image::Restore),
        Fnsave => Rule::Image(Image::SaveX87),
        Frstor => Rule::Image(Image::RestoreX87),
        Fnstenv => Rule::Image(Image::Words),
        Fldenv | Fninit | Fnclex | Emms | Ffree | Ffreep | Fincstp | Fdecstp | Fnop => Rule::Keep, // which registers hold numbers, not which

        Fstpnce => Rule::May,                                                      // does nothing where no number is

        _ => Rule::General,
    }
}

/// Whether it moves a vector as it is, by a mask or without.
pub fn is_vector_move(mnemonic: Mnemonic) -> bool {
    use Mnemonic::{Vmovapd, Vmovaps, Vmovdqa32, Vmovdqa64, Vmovdqu8, Vmovdqu16, Vmovdqu32, Vmovdqu64, Vmovupd, Vmovups};
    matches!(
        mnemonic,
        Vmovapd | Vmovaps | Vmovdqa32 | Vmovdqa64 | Vmovdqu8 | Vmovdqu16 | Vmovdqu32 | Vmovdqu64 | Vmovupd | Vmovups
    )
}
