import sys, numpy as np, warnings
warnings.simplefilter('ignore')
from cursivetransformer.model.checkpoint import load_checkpoint
from cursivetransformer.data.banks import load_bank, split_words, usable
from cursivetransformer.config import WritingOptions
from cursivetransformer.writing.spelling import generate_words
from cursivetransformer.writing.reader import load_reader, compare
from cursivetransformer.writing.page import layout, save_page
from cursivetransformer.ink.points import Word
m=load_checkpoint(sys.argv[1],'cpu'); N=int(sys.argv[2])
b=usable(load_bank('bigbank_3325+easybank').words,m.config)
human=split_words(b,m.config.seed,m.config.test_share)[1][:N]
t=[w.text for w in human]; r=load_reader()
import time
for temp in (0.3,0.5):
    s=time.time(); inks=generate_words(m,t,WritingOptions(temperature=temp,seed=1)); d=time.time()-s
    c=compare(t,r.judge(inks)[0]); print(sys.argv[1],temp,f'{c.character_error:.2%} / {c.word_error:.1%}',f'{d:.1f} s for {len(t)} words',flush=True)
page=layout([Word(a,i) for a,i in zip(t[:30],inks)],WritingOptions())
save_page(page,'/tmp/chain.png')
