"""fuzz: strangers' octets for whatever takes them, and the laws that must hold meanwhile.

An input is octets; a target takes any, and raises when a law is broken. Two engines find
inputs: `seeded` makes them up, on whichever build there is, and weighs the memory; `guided`
bends them until they reach new places, and needs atheris and pure Python.

    target, targets         what an input is for, and what there is
    case                    a conversation as octets, and back
    hostile, spoilers       what hostile peers say, and how it goes wrong
    codecs, conversation    victims: two codecs beside one another; a whole proxy
    auditor, witness        what is written, and what became of what was said
    wrapped                 a codec around another one
    compression, settings, words    the other targets: HPACK, YAML, and small parsers
    seeded, guided, instrumented    the engines, and the process that the second one runs
    corpus, dictionary, finding     what they begin with, and what they leave behind
"""
