module capmaas/bench/decode

go 1.24
