// Packers: what the file says of its wrapping.

rule UPX_Packed {
    meta:
        description = "Packed with UPX"
    strings:
        $mark = "UPX!"
        $info = "$Info: This file is packed with the UPX executable packer"
        $pe0 = "UPX0"
        $pe1 = "UPX1"
    condition:
        (uint32(0) == 0x464c457f and (#mark >= 2 or $info)) or (uint16(0) == 0x5a4d and $pe0 and $pe1)
}

rule UPX_Mark_Changed {
    meta:
        description = "Packed with UPX, and its mark replaced so that `upx -d` fails"
    strings:
        $info = "$Info: This file is packed with the UPX executable packer"
        $stub = "PROT_EXEC|PROT_WRITE failed."
        $proc = "/proc/self/exe"
        $mark = "UPX!"
    condition:
        uint32(0) == 0x464c457f and not $mark and ($info or ($stub and $proc))
}
