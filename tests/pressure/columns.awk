# Keeps the lines of its input by their number and by their third column; adds up both.
{ line[NR] = $0; count[$3]++; longest[$3] = $2 }
END {
    for (n = NR; n > 0; n -= 3)
        total += length(line[n])
    for (key in count)
        keys += count[key] * (length(longest[key]) + 1)
    print NR, total, keys
}
