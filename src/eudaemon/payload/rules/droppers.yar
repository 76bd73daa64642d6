// What brings the rest: scripts that fetch, small programs that do nothing but fetch, shells that call back.

rule Script_Fetches_And_Runs {
    meta:
        description = "A script that fetches a file, makes it executable and runs it"
    strings:
        $get1 = /(wget|curl|tftp|ftpget|lwp-download)\s[^\n]{0,200}/
        $get2 = "/dev/tcp/"
        $mode = /chmod\s+(\+x|[0-7]{3,4}|[augo]*\+[rwx]+)/
        $run1 = /(;|&&|\n|\|)\s*\.\/[\w.$]/
        $run2 = /\|\s*(ba|da|z)?sh\b/
    condition:
        filesize < 256KB and uint32(0) != 0x464c457f and any of ($get*) and (($mode and any of ($run*)) or $run2)
}

rule Script_Tries_Every_Architecture {
    meta:
        description = "A script that fetches the same program for one processor after the other"
    strings:
        $a1 = /[\/.]mips\b/
        $a2 = /[\/.]mpsl\b|[\/.]mipsel\b/
        $a3 = /[\/.]arm[4567]l?\b/
        $a4 = /[\/.](x86|x86_64|i[3-6]86)\b/
        $a5 = /[\/.](ppc|powerpc)\b/
        $a6 = /[\/.](sh4|m68k|spc|sparc|arc)\b/
        $get = /wget|curl|tftp|ftpget/
    condition:
        filesize < 256KB and uint32(0) != 0x464c457f and $get and 3 of ($a*)
}

rule Script_Writes_Itself_Into_Startup {
    meta:
        description = "A script that makes itself start again: cron, systemd, rc.local or authorized_keys"
    strings:
        $cron1 = /(\(crontab -l|\|\s*crontab\s+-|\/etc\/cron|\/var\/spool\/cron)/
        $cron2 = /\*(\/[0-9]{1,2})?\s+\*\s+\*\s+\*\s+\*[^\n]{0,40}(wget|curl|\/tmp\/|\/dev\/shm)/
        $systemd = "/etc/systemd/system/"
        $rc = /\/etc\/(rc\.local|init\.d\/)/
        $key = /authorized_keys/
        $get = /wget|curl|tftp|ftpget|ssh-rsa|ssh-ed25519/
    condition:
        filesize < 256KB and uint32(0) != 0x464c457f and $get and any of ($cron*, $systemd, $rc, $key)
}

rule Elf_Downloader {
    meta:
        description = "A small program that does little but fetch another over HTTP"
    strings:
        $get = /GET \/[\w.\/%-]{1,120}( HTTP\/1\.[01])?/
        $nif = "NIF\n"
        $fin = "FIN\n"
        $ua = "User-Agent:"
    condition:
        uint32(0) == 0x464c457f and filesize < 16KB and $get and any of ($nif, $fin, $ua)
}

rule Reverse_Shell_Text {
    meta:
        description = "A one-liner that gives a shell to whoever waits for it"
    strings:
        $bash = /(ba)?sh -i\s*[<>&0-9 ]{0,8}>?&?\s*\/dev\/(tcp|udp)\//
        $nc = /\bn(c|cat)\b[^\n]{0,80}\s-[a-z]*e\s*\/bin\/(ba)?sh/
        $fifo = /mkfifo [^\n;]{1,60};[^\n]{0,120}\|\s*n(c|cat)\b/
        $python = /socket\.socket\([^\n]{0,300}(dup2|pty\.spawn)/
        $perl = /perl[^\n]{0,60}socket[^\n]{0,300}exec/ nocase
        $php = /fsockopen\([^\n]{0,120}(exec|popen|proc_open)/
    condition:
        filesize < 512KB and any of them
}

rule Php_Webshell {
    meta:
        description = "PHP that runs what a request gives it"
    strings:
        $php = "<?"
        $run = /(eval|assert|system|exec|shell_exec|passthru|popen)\s*\(\s*@?(base64_decode\s*\(\s*|gzinflate\s*\(\s*|trim\s*\(\s*)*\$_(GET|POST|REQUEST|COOKIE|SERVER)/ nocase
    condition:
        filesize < 1MB and $php and $run
}
