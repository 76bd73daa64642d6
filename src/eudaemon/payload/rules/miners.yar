// Programs and scripts that mine cryptocurrency.

rule XMRig_Like {
    meta:
        description = "The miner XMRig, or built from it"
    strings:
        $name = "xmrig" nocase
        $donate = "donate-level"
        $randomx = "randomx" nocase
        $rig = "--rig-id"
        $nicehash = "nicehash" nocase
        $stratum = "stratum+tcp://"
        $stratums = "stratum+ssl://"
        $cryptonight = "cryptonight" nocase
    condition:
        (uint32(0) == 0x464c457f or uint16(0) == 0x5a4d or uint32(0) == 0xfeedfacf) and 3 of them
}

rule Miner_Script {
    meta:
        description = "A script that fetches, configures or guards a miner"
    strings:
        $pool1 = /stratum\+(tcp|ssl|tls):\/\//
        $pool2 = /(pool|xmr|monero)[a-z0-9.-]{0,40}\.[a-z]{2,6}:[0-9]{4,5}/ nocase
        $xmrig = "xmrig" nocase
        $kill1 = /pkill\s+-(9|f)/
        $kill2 = /kill(all)?\s+-9/
        $pages = "vm.nr_hugepages"
        $cron = "crontab"
        $shell = "#!/bin/"
    condition:
        filesize < 512KB and uint32(0) != 0x464c457f and (($pool1 or $pool2 or $xmrig) and
            any of ($kill*, $pages, $cron, $shell))
}

rule Rivals_Removed {
    meta:
        description = "A script that throws other malware or security tools off the host"
    strings:
        $a1 = "kinsing"
        $a2 = "kdevtmpfsi"
        $a3 = "aliyun" nocase
        $a4 = "/usr/local/qcloud"
        $a5 = "watchbog"
        $a6 = "ddgs"
        $a7 = "chattr -i"
        $kill = /(pkill|killall|kill -9|rm -rf|iptables -F|chattr)/
    condition:
        filesize < 512KB and uint32(0) != 0x464c457f and $kill and 2 of ($a*)
}
