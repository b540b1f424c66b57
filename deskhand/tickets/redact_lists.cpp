#include "deskhand/tickets/redact_lists.h"

namespace deskhand::redact_lists {

const std::string_view kFirstNames = R"(
aaron abigail adam adrian agnes aidan aileen alan alasdair alastair albert alec alexander alexandra alexis alfie alfred alice alicia alison
alistair allan allison alyssa amanda amelia amy andrea andreas andrew angela angus anita ann anna anne annie anthony antonia antony archie
arnold arthur ashley audrey barbara barry beatrice becky belinda benjamin bernadette bernard bert bethany betty beverley beverly bob bobby
bonnie bradley brandon brenda brendan brian bridget bronwyn bruce bryan bryony caitlin callum calum cameron camilla carl carla caroline
carolyn catherine cathy cecilia charles charlie charlotte cheryl chloe chris christian christina christine christopher ciara cindy clara
claire clare clive colin colleen conor connor connie corey craig curtis cynthia daisy daniel danielle darren dave david dawn dean deborah
debbie debra declan denise dennis derek desmond diana diane dominic donald donna doris dorothy douglas duncan dylan eamon edith edmund edward
edwin eileen elaine eleanor elizabeth ella ellen ellie elliot elsie emily emma eric erica erin ernest esme esther ethan eugene evan evelyn
ewan faye felicity fergus fiona frances francis fraser fred freddie frederick freya gail gareth garry gary gavin gemma geoff geoffrey george
georgia georgina gerald geraldine gerard gillian gina gladys glen glenn gloria gordon graeme graham greg gregory gwen gwendolyn hamish hannah
harold harriet harry harvey hayley hazel heather helen henry hilary holly howard hugh hugo humphrey iain ian imogen irene isaac isabel
isabella isobel isla ivan jack jackie jacob jacqueline jake james jamie jane janet janice jasmine jason jeffrey jenna jennifer jenny jeremy
jerome jerry jessica jessie jill jim jimmy joan joanna joanne jodie joe joel john johnny jonathan joseph josephine josh joshua joyce judith
judy julian julie juliet justin karen kate katherine kathleen kathryn kathy katie kay keith kelly kenneth kerry kevin kieran kimberly kirsten
kirsty kristen kristin kyle laura lauren laurence lawrence leah leanne len leon leonard leslie lesley lewis liam lily linda lindsay lisa liz
lois lorna lorraine louis louise lucas lucy luke lydia lynda lynn lynne maeve malcolm mandy marcus margaret maria marian marie marilyn marion
marjorie martha martin martyn mary matt matthew maureen maurice megan melanie melissa michael michelle miranda miriam moira molly monica morag
muriel murray nancy naomi natalie natasha nathan neil nell nicholas nicola nicole nigel noah nora norah norma norman olive oliver olivia owen
pamela patricia patrick paul paula pauline peggy penelope peter phil philip phillip phoebe phyllis polly priscilla rachael rachel ralph raymond
rebecca reginald rhona rhys richard ricky rita robert roberta robin rodney roger roland ron ronald rory rosalind rosemary rosie ross rowena roy
rupert russell ruth ryan sally samantha samuel sandra sara sarah scott sean sebastian shannon sharon shaun sheila shelley shirley sian sidney
simon sinead siobhan sophia sophie stacey stanley stella stephanie stephen steve steven stewart stuart susan susie suzanne sylvia tamara tanya
tara terence teresa tessa thelma theresa thomas tim timothy tina tom tony tracey tracy trevor tristan ursula valerie vanessa vera vernon veronica
vicky vincent virginia vivian vivien walter warren wayne wendy wesley wilfred william willie yvonne yvette zachary zara zoe
achim adelheid albrecht alexa alina alwin amelie andre angelika anke anja annegret anneliese annemarie annette annika antje arne arno astrid
august axel bastian beate bernd bernhard bertram bettina bianca birgit birgitt birte björn bjoern bodo boris brigitte britta burkhard carina
carsten christa christel christiane christoph claas claudia claus conny constanze cordula corinna cornelia dagmar daniela detlef detlev diether
dieter dietmar dietrich dirk dörte doerte doreen dorothea eberhard eckhard edeltraud egon ekkehard elfriede elisabeth elke elvira emil erhard
erich erika erna erwin eva evelin fabian felix ferdinand florian franziska frauke frieda friedhelm friedrich fritz gabi gabriele gaby georg gerd
gerda gerhard gero gerold gertrud gisela gitta götz goetz gottfried gregor greta gudrun günter günther guenter guenther guido gunnar gustav hanna
hannelore hannes hans hansjörg harald hartmut hauke heidi heidrun heike heiko heiner heinrich heinz helene helga hella helmut hendrik henning
herbert herma hermann hilde hildegard hiltrud holger horst hubert ignaz ilka ilona ilse imke ina ines inga inge ingeborg ingo ingrid inka irina
irmgard irmtraud isolde jana janina jannik janosch jeannette jens jessika joachim jochen johann johanna johannes jonas jörg joerg jörn josef judit
jürgen juergen jutta kai karin karl karla karlheinz karola karoline karsten katarina katharina kathrin katja katrin kerstin kirstin klara klaus
konrad konstantin korbinian kornelia kristina kurt lars lena leni lennart leonhard leonie leopold liesel lieselotte lina lisbeth lorenz lothar
lotte ludger ludwig lutz magda magdalena maik maike maja malte manfred manuel manuela marc marcel marco mareike maren margarete margit margot
margret mariam marianne marina mario marita marius marko marlene marlies martina mathias mathilde matthias maximilian mechthild meike melina
micha michaela mirjam mirko monika moritz nadine nadja nele nico niels nikolaus nils norbert olaf oskar ortrud oswald otmar ottilie ottokar petra
philipp pia quirin raimund rainer ralf ramona regina regine reiner reinhard reinhold renate resi reto rico roland rolf roman romy rosemarie rosi
roswitha rüdiger ruediger rudi rudolf sabine sabrina sascha sebastian siegfried sigrid silke silvia simone sonja stefan stefanie steffen steffi
susanne sven svenja swantje tanja thea theodor theo theresia thilo thomas thorsten tilman timo tobias toralf torben torsten traudl traute udo ulf
ulla ulrich ulrike ursel ursina urs ute uwe valentin vera verena viktor viktoria volker volkmar waltraud wenzel werner wieland wilfried wilhelm
willi winfried wolfgang wolfram xaver yannick yvonne
adèle adele agathe agnès alain alban albane alexandre alexia aline amandine amélie anaïs anais andré anne-marie anne-sophie antoine apolline ariane
armand arnaud arthur audrey aurélie aurelie aurélien axelle baptiste barnabé bastien béatrice benoît benoit bérénice bertrand blandine brigitte
bruno camille caroline cécile cecile cédric cedric céline celine chantal charline christelle christiane christophe claude clémence clement clément
clotilde colette corentin corinne cyril damien danièle danielle delphine denis didier dominique edouard édouard élise elise élodie elodie émile
émilie emilie emmanuel emmanuelle enzo éric estelle étienne etienne eugénie fabien fabienne fabrice fanny félicie fernand florent francine franck
françois francois françoise francoise frédéric frederic gabriel gaël gaëlle gaetan geneviève genevieve georges géraldine gérard ghislaine gilles
gisèle grégoire grégory guillaume guy hélène helene henri honoré hortense hubert hugues inès isabelle jacques jean-baptiste jean-claude
jean-françois jean-luc jean-marc jean-marie jean-michel jean-paul jean-philippe jean-pierre jeanne jeannine jérémie jérémy jérôme joëlle jocelyne
josette josiane julien juliette justine karine laetitia laëtitia laurent laure léa lea léon leonie léonie line lionel loïc loic louane luc lucie
lucien ludovic lydie madeleine maëlle magali manon marc marcel margaux marguerite marie-christine marie-claude marie-france marie-laure
marie-thérèse marine marion marius marjorie marlène martine mathieu mathilde maud maxence maxime mélanie mélissa michel micheline mickaël monique
morgane muriel myriam nadège nathalie nicolas noémie noëlle océane odette odile olivier pascal pascale patrice patricia pierre pierre-yves quentin
raphaël raphael raoul raymonde régine régis rémi remi renaud renée richard rodolphe romain roselyne sabine salomé sandrine sébastien séverine
simone solange solène sophie stéphane stephane stéphanie suzanne sylvain sylvie tanguy théo théophile thérèse thibault thibaut thierry thomas
ugo ulysse valentine valérie véronique vincent virginie viviane xavier yann yannick yves yvette yvon zélie
abdallah abdelkader abdul abdullah abdulrahman abebe adebayo adnan ahmad ahmed aisha aïcha akiko akira ali alejandro alejandra alessandra
alessandro alessia alex alfonso alfredo ali alberto agata agnieszka aleksander aleksandra alina aliya alicja álvaro alvaro amal amar amara amina
amir amit amira ana anand ananya anastasia anaya andrés andrzej angelica angelo anil anish anita anjali ankit anouk antonella antónio antonio
antoni anusha aoife aparna arif arjun arturo artur arvind asha ashok asif asmaa ayan ayesha ayşe ayse azra babak balázs bálint barbora bartosz
beata beatriz beatrix bhavna bilal bogdan bojan borislav boštjan bozena branko bruna burak can carlo carlos carmela carmen cathal caterina cem
cemal chiara chidi chiamaka chinedu cihan clara costas cristian cristina cristóbal dafydd daisuke damir danuta daria dariusz davide deepak deepika
deniz despina devi diego dilip dimitar dimitri dimitrios dimitris dinesh divya dmitri dmitry dorota dragan dušan dusan ebru eduardo efua eilidh
eirik ekaterina elena elif elisa elzbieta elżbieta emanuele emeka emilia emilio emine emre enrique erik erkan ernesto esra estefania esteban
eszter eun-ji ewa ezgi fabio fabrizio farah farid farida faruk fatih fatima fatma fatoumata federica federico femi ferenc fernanda fernando filip
filippo flavia francesca francesco francisco funmilayo gábor gabriela gabriele ganesh gaurav gergely giacomo gianluca gianni giorgio giovanna
giovanni giulia giuseppe giuseppina gonzalo goran gosia grażyna grzegorz guillermo gurpreet györgy habib hakan håkan håkon halima hamid hamza
hana haruki haruto hasan hassan hatice henrik hiroshi hossein hülya hussein ibrahim ida ignacio ikram ilaria ildikó imran indira ioana ioannis
irena isabella ismail istván ivana ivo iwona jacek jadwiga jagoda jakub jan jana janek janusz jarek jarosław javier jelena jerzy jesús joana
joanna joão joaquín jolanta jordi jorge josé jose józef juan juanita julio justyna kamal kamil kamila karim karima karol karolina kasia katarzyna
kateryna kavita kaveh kazimierz kemal kenji khadija khaled khalid kiran kofi konstantinos krishna krystyna krzysztof kübra kumiko kwame lakshmi
lamia laszlo lászló latoya laila layla leila lei leszek leyla li lidia liliana linh lorena lorenzo luca lucía lucia luciano luigi luís luis luisa
łukasz lukas lukáš maciej magdalena magnus mahmoud mahmud maja małgorzata malgorzata malik manoj manuel marcin marek margarita mariusz mariam
mariana mariano marija marika markus marta massimo mateusz mathieu matteo matthew mehmet mei mercedes meryem michał mihai miguel mikael mikhail
mikko milan milena milica mina ming miroslav mohamed mohammad mohammed mohit monika mónica mubarak muhammad mukesh murat mustafa nadia nadja naoko
nasser natalia neha nia nicolás nikhil nikola nikolai nikolaos nikos nisha nkechi ngozi noor nour nuno ola oleg oleksandr olena olga olumide
omar onur oksana orhan oscar osman pablo paolo pascal paulina paulo pavel paweł pedro pekka petar petr pieter pietro piotr prakash pradeep prasad
pranav priya przemysław rachid rafael rafał raffaele raj rajesh raju rakesh ramesh ramón rania rashid ravi reza ricardo riccardo rohit roberto
rodrigo rosa ruben rüya rui ruslan saanvi sabina sadia said salma salman salvatore samir samira sana sandeep sandhya sanjay santiago sara satoshi
savannah selim selin selma serena sergei sergey sergio serkan shanice shankar sheng shreya silvio sima simona sinan slavica sławomir slobodan soledad
somchai sofia sofie soo-jin stanislav stavros stefania stefano sufian sunil sunita suresh svetlana swati syed tadeusz takeshi tariq tatiana tatjana
tereza thanh thabo tiago tomasz tomáš tomas tunde uchenna umut usha vanja vasily vijay vikram vinod violeta vlad vladimir volkan waldemar wanda
wei weronika wiesław wiktor wioletta wojciech xin xiulan yasmin yasmine yasin yasuko yildiz yolanda yosef youssef yuki yuri yusuf zainab zbigniew
zeynep zofia zoltán zoltan zuzana
anders aksel bengt birgitta bjarne egil einar elin elisabet emil erling eskil frida fredrik gunilla gustaf hanne hege helle hilda ingeborg ingvar
jesper joakim johan jørgen karianne kjell kristian kristoffer lasse leif linnea lise mads maarten maj marit mats mette mikkel morten niklas
oddvar olof ove pär per rasmus rikke roar rune signe sindre sissel søren soren stig sunniva susanna sverre thor tor tora torbjørn tove trond
ulrika vibeke yngve åsa
anouk bart bas bram coen cornelis daan dirk ellis esmée femke floris geert gerrit gijs hanneke hendrika henk ilse jasmijn jeroen jolanda joost
joris jozef karel kees koen laurens lieke lotte luuk maaike marieke marijke marloes martijn mieke niek nienke pim piet rianne roel ruud sander
saskia sjoerd stijn tess teun thijs ton wouter yara
)";

const std::string_view kAmbiguousFirstNames = R"(
abel ada alba alma amber angel anton april archer ariel arian art ash aurora austin autumn basil ben bill bella benedict berta blaze blake bo
brad brook brooke bud buck cat carol cash celeste chance charity chase cherry chip christa clay cliff colt constance crystal dale dan dana dawn
destiny devon dick dina don dot drew earl eden elle ernst eve faith fay fern finn flora florence france frank franz gene ginger glory grace grant
guy hank harmony heath hero hope hunter ian iris ivy jade jan jasper jay jean jenkins jet jewel jo jordan joy juan jude julia julius june kai karma
ken kim kit lance lane laurel lee leo lex liberty luna mae major marc mark mars max may mercy mia miles mo noel nick oscar page paige paris pat
patience pax pearl penny pepper pierce pip poppy prudence ray rae reed rex rich river rob rocky rod rose rowan ruby rusty sage sam sandy sasha
scarlett shaz sky sol sonny star sterling sue summer sunny tab tad ted terry tess toni trinity troy ty umar val van verity vic victor victoria
viola violet will wolf zion gloria mercedes alexa elena lisa carmen max ute otto carl karl erika nina thi can deniz li lei ming wei xin mei linh
per thor stella diego milan rosa florian noor long son dung hong ola tor maya line christ
)";

const std::string_view kShortFirstNames = R"(
abel ada alba alma anton ariel bella ben berta carl carmen clay dan deniz diego elena ellie erika ernst faye finn flora florian frank franz gloria guy hank
ian iris jan jay jean jo joan juan jude julia julius karl ken kim lee leo lisa luna mae maya mei mia miles nick nina noel oscar otto pat ray rob rosa
sam sandy sasha shaz sonny stella sue ted terry tess thor toni ty umar ute val vic victor xin wei li ming linh lex
)";

const std::string_view kSurnames = R"(
schmidt schmitt schmid schmitz schulz schulze schultz hoffmann hofmann wagner becker schäfer schaefer bauer schröder schroeder zimmermann krüger
krueger hartmann krause lehmann schmitt meier meyer maier mayer müller mueller köhler koehler herrmann walther schubert kühn kuehn seidel
brandt schreiber schumacher kaufmann dietrich ziegler kuhn pohl engelmann hauser bergmann voigt sauer arnold haas friedrich beck günther keller
jansen albrecht vogt pfeiffer ludwig heinrich böhm boehm graf winkler kraus simon ott lorenz huber baumann weiß franke lange werner hahn peters
fuchs scholz möller moeller jung weber kaiser kowalski nowak wiśniewski wisniewski wójcik kowalczyk kamiński lewandowski zieliński szymański woźniak
dąbrowski kozłowski jankowski mazur krawczyk piotrowski grabowski nowakowski pawłowski michalski król wieczorek jabłoński wróbel
yılmaz yilmaz kaya demir şahin sahin çelik celik yıldız yildiz yıldırım yildirim öztürk oeztuerk ozturk aydın aydin özdemir arslan doğan dogan kılıç aslan çetin kara
smith johnson williams jones davies evans thompson roberts robinson wright walker hughes edwards wilson taylor harrison clarke patel lewis
griffiths morgan phillips mitchell richardson shaw simpson bennett gibson henderson watson robertson macdonald mcdonald mackenzie campbell stewart
thomson o'brien o'connor o'neill o'sullivan murphy kelly byrne ryan doyle gallagher kavanagh mccarthy mcgregor maclean mclean hutchinson whitehead
khan ahmed hussain begum singh kaur sharma gupta kumar mehta desai iyer nair reddy chaudhry rahman chowdhury
martinez garcia rodriguez fernandez gonzalez lopez sanchez perez ramirez torres flores gomez diaz alvarez romero jimenez navarro
rossi russo ferrari esposito bianchi romano colombo ricci marino bruno gallo conti costa giordano mancini rizzo lombardi moretti barbieri fontana santoro
dubois durand lefebvre lefèvre lefevre leroy moreau girard bonnet dupont dupuis fontaine rousseau blanchard gauthier perrin robin masson chevalier
bertrand lambert mercier boyer guerin guérin garnier faure roussel legrand vidal caron meunier denis morin nicolas marchand noel giraud joly riviere rivière
renard gaillard brunet schmitt dumont marchal lemoine picard vasseur lacroix bourgeois delorme benali haddad
jensen nielsen hansen pedersen andersen christensen larsen sørensen rasmussen jørgensen petersen johansson andersson karlsson nilsson eriksson
lindqvist lindström gustafsson olsson persson svensson bakker visser janssen devries hendriks dekker dijkstra vermeulen
novák novak svoboda novotný dvořák dvorak černý horvath horváth kovács kovacs szabó szabo tóth nagy varga popescu ionescu papadopoulos georgiou
ivanov petrov sidorov kuznetsov smirnov petrović jovanović nikolić okafor okonkwo adeyemi mensah nguyen tran pham takahashi tanaka suzuki yamamoto
watanabe nakamura kobayashi zhang chen huang zhao zhou xu liu
)";

const std::string_view kAmbiguousSurnames = R"(
fischer schneider wolf schwarz klein neumann braun richter koch lang lange groß gross vogel stein roth busch berg sommer winter könig koenig
brown white black green hall hill wood woods cook baker miller carter turner parker cooper king young scott mason hunt fox page price bell ward
stone rose love lane day may west north east little long short rich wise sharp cross field fields banks rivers lake moon frost snow summers
martin thomas richard petit roux blanc noir moulin roy michel vincent david simon laurent bernard robert
may march church bishop knight pope duke grant mark power powers case banks rush dean cash chance
)";

const std::string_view kNotNames = R"(
a all an and any are as at be been but by can could did do does for from get got had has have he hello her here hi his how i if in is it its just let
me might more my no nor not now of off on one or our out over please she should so some still than thanks thank that the their them then there these
they this those to today tomorrow too two up us use used user users very via was we were what when where which while who whom whose why will with
would yes yesterday yet you your again after also although am another because before being best better both cannot came come dear don't due during each
either else ever every few first find found further give go going good great having himself hope however i'm i've i'll it's into keep kind last later
least less like little look made make many maybe mine most much must need needs never new next none nothing number off often ok okay old once only open other others
perhaps quick quite rather re really regarding regards right same see seems sent since sincerely something soon sorry such sure take tell
until update using wait want well whether within without wrong anyone anybody everybody everyone someone somebody folks guys gents ladies gentlemen
colleague colleagues team support helpdesk desk service services sir madam sirs customer client clients customers agent admin administrator it hr ict
department dept office manager director head lead senior junior analyst engineer consultant accountant assistant officer executive specialist
procurement purchasing sales marketing finance accounting accounts payroll warehouse logistics production quality controlling reception security
networks network operations basis infrastructure facilities legal compliance human resources management
monday tuesday wednesday thursday friday saturday sunday january february march april may june july august september october november december
mon tue wed thu fri sat sun jan feb mar apr jun jul aug sep sept oct nov dec morning afternoon evening night weekend week month year quarter
caller called calling reporter requester contact ticket tickets issue problem error errors failure case request incident change order orders invoice invoices
receipt delivery shipment supplier vendor partner company account number code item article part serial version build release firmware
software hardware server client laptop notebook pc desktop monitor screen printer scanner phone headset mouse keyboard dock tablet router switch
firewall gateway vpn wifi wlan lan internet email e-mail mail mailbox outlook teams word excel access office windows linux mac android ios chrome
edge firefox sap oracle sql database backup restore report reports crystal jasper jira confluence sharepoint onedrive exchange azure aws vmware citrix
login logon password passwords username account accounts access role roles rights permission permissions licence license licences certificate
file files folder folders path drive disk memory cpu host domain url link page site portal app application apps tool system systems module
process job jobs batch queue task workflow approval approver button field form table column row list menu tab window dialog message text note notes
log logs trace dump job run script api interface import export upload download sync data record records document documents template templates attachment
pdf xml csv json html http https ftp sftp smtp dns ip port proxy address name names surname date time amount price total sum tax vat iva bank
payment payments transfer refund credit debit card cheque cash currency euro dollar pound fax telephone mobile cell extension building floor room hall location street road
city town country europe england scotland wales ireland germany france spain italy austria switzerland belgium netherlands poland london manchester
birmingham leeds glasgow edinburgh dublin cardiff bristol liverpool berlin hamburg münchen munich köln frankfurt stuttgart düsseldorf leipzig dresden
hannover nürnberg bremen essen dortmund wien vienna zürich zurich bern basel genf geneva paris lyon marseille nantes toulouse bordeaux lille strasbourg
rennes nice amsterdam rotterdam brussels milano milan rome roma turin madrid barcelona lisbon copenhagen stockholm oslo helsinki warsaw prague budapest
microsoft google apple amazon dell hp lenovo cisco intel siemens bosch adobe epson canon brother zebra honeywell fujitsu toshiba samsung sony logitech jabra
newton einstein tesla watson jenkins
unfortunately sadly apologies thought inbox view font size line description cache authentication method select exit restart saluti info technical thunderbird
gott leute web oetker said nachmittag
der die das den dem des ein eine einen einem einer eines und oder aber auch als am an auf aus bei beim bin bis bitte bitten brauche brauchen da damit danke dank
dann dass daß dein deine denn dich dir doch dort du durch er es etwas euch euer eure für fuer gegen geht gibt gut gute guten habe haben hallo hat hatte
hätte heute hier hinter hin ich ihm ihn ihnen ihr ihre ihrem ihren ihrer im in ins ist ja jede jeder jedes jetzt kann kein keine keinen können koennen
könnte könnten könntet leider lieber liebe mal man mehr mein meine meinem meinen meiner mich mir mit morgen muss müssen nach nachdem neu neue neuen
neuer neues nicht nichts noch nun nur ob oben oder ohne schon sehr seit sein seine seinem seinen seiner sich sie sind so soll sollte sollen sollten sondern
später trotzdem über ueber um uns unser unsere unserem unseren unserer unter vielen viele vielleicht vom von vor wann warum was wegen weil weiter wenn wer werden
wie wieder wir wird wo wohl wollen wollte wurde wurden würde würden zu zum zur zwischen zusammen alle allen alles gestern seitdem sowie sonst
herr herrn frau fräulein familie damen herren kollege kollegen kollegin kolleginnen mitarbeiter mitarbeiterin mitarbeiterinnen nutzer nutzerin benutzer
benutzerin kunde kunden kundin anrufer anruferin azubi azubis chef chefin vorgesetzter vorgesetzte leiter leiterin sachbearbeiter geschäftsführer teamleiter
einkauf verkauf vertrieb versand lager fertigung produktion buchhaltung personal personalabteilung empfang zentrale verwaltung abteilung bereich werk
filiale niederlassung standort halle raum gebäude stock etage büro team support edv technik montag dienstag mittwoch donnerstag freitag samstag sonnabend sonntag
januar februar märz mai juni juli oktober dezember woche monat jahr tag uhr abend mittag
drucker scanner rechner server laptop bildschirm monitor maus tastatur telefon handy fax gerät geräte anlage netzwerk netz internet kabel dock drucker
fehler fehlermeldung meldung problem anfrage ticket störung vorgang auftrag aufträge bestellung rechnung rechnungen lieferschein lieferung gutschrift
mahnung beleg belege buchung buchungen konto konten kostenstelle buchungskreis mandant transaktion transport rolle berechtigung berechtigungen zugriff
zugang passwort kennwort anmeldung benutzername lizenz zertifikat datei dateien ordner laufwerk pfad ablage formular vorlage tabelle spalte zeile feld
liste bericht berichte auswertung programm software anwendung system systeme update version schnittstelle datenbank sicherung export import druck
artikel material nummer menge preis preise preisliste betrag steuer bank überweisung zahlung kunde lieferant debitor kreditor adresse anschrift straße name vorname nachname datum
gruß grüße gruss gruesse grüßen gruessen freundlichen besten herzlichen mfg vg lg hochachtungsvoll vertretung auftrag rückruf rückfragen ansprechpartner
ansprechpartnerin absender empfänger betreff stelle firma
le la les un une des du de et ou mais donc or ni car je tu il elle on nous vous ils elles mon ma mes ton ta tes son sa ses notre nos votre vos leur leurs ce cet cette
ces qui que quoi dont où est sont suis es êtes être avoir ai as a avons avez ont pas ne plus moins très trop bien mal oui non si avec sans pour par sur sous dans
entre vers chez depuis pendant avant après alors aussi comme quand comment pourquoi bonjour bonsoir salut merci madame monsieur mademoiselle messieurs mesdames
cordialement salutations sincères tous toutes tout toute équipe service client cliente utilisateur utilisatrice collègue collègues responsable directeur
directrice comptable comptabilité facture factures commande commandes livraison fournisseur imprimante écran ordinateur portable poste serveur
réseau mot passe compte fichier dossier logiciel erreur problème demande mise jour lundi mardi mercredi jeudi vendredi samedi dimanche janvier février
mars avril juin juillet août septembre octobre novembre décembre adresse numéro numero téléphone objet nom prénom veuillez peux pouvez peut pourriez
guten grüß moin servus hey hiya greetings welcome cher chère chers chères gracias hola saludos señor señora gentile spettabile
cheers ta best bye ciao fyi asap re aw wg fw fwd ps cc bcc tel mob attn ref nb eg ie
)";

const std::string_view kFirmWords = R"(
gmbh ag kg ohg se ug mbh ltd limited llp llc plc inc incorporated corp corporation co company group holding holdings sa sas sarl srl spa bv nv oy ab as aps kft
bank & und söhne sons brothers gebrüder partners partner associates electric controls systems solutions technologies technology consulting international
industries energy motors foods logistics transport versand drogerie apotheke bäckerei stiftung institut universität klinik hospital university college school church
reports server studio db database framework library script notebook pipeline build job agent on gems rails street road lane avenue straße platz
station hotel stadium airport house center centre award prize method algorithm transform distribution
)";

const std::string_view kBrands = R"(
ernst & young
johnson & johnson
johnson controls
morgan stanley
jp morgan
charles schwab
philip morris
hugo boss
carl zeiss
karl lagerfeld
calvin klein
tommy hilfiger
jack wolfskin
jack daniels
peter hahn
daniel wellington
christian dior
robert bosch
robert half
robert walters
michael page
grant thornton
otto versand
maria db
mercedes benz
mercedes-benz
harley davidson
harley-davidson
hewlett packard
emma maersk
steve jobs
ruby on rails
morgan advanced
stanley black
john deere
jack & jones
thomas cook
thomas cook group
marks & spencer
mark spencer
victoria's secret
rose gold
virginia tech
georgia tech
martin luther
alexander technique
oliver wyman
arthur andersen
)";

}  // namespace deskhand::redact_lists
